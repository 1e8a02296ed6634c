//! QEMU's VNC server: where it listens, and since when.

use serde_json::{Value, json};

use crate::guest::monitor::Monitor;
use crate::limits::VNC_PORTS;
use crate::qmp::QmpError;
use crate::spec::Vnc;

/// Has QEMU, whose server listens nowhere, listen at `vnc`; returns where it does.
///
/// # Errors
/// If it cannot.
pub(super) fn listen(monitor: &mut Monitor, vnc: Vnc) -> Result<String, QmpError> {
    let (least, most) = (*VNC_PORTS.start(), *VNC_PORTS.end());
    let port = vnc.port.unwrap_or(least);
    let mut address = json!({
        "type": "inet", "host": vnc.address.to_string(), "port": port.to_string(),
        "ipv4": vnc.address.is_ipv4(), "ipv6": vnc.address.is_ipv6(),
    });
    if vnc.port.is_none() {
        address["to"] = json!(most);
    }
    let order = json!({"type": "vnc", "addresses": [address]});
    monitor.execute("display-update", &order)?;
    let servers = monitor.execute("query-vnc-servers", &Value::Null)?;
    Ok(place(&servers).unwrap_or_else(|| format!("{}, port {port}", vnc.address)))
}

/// Where the first server in the answer to `query-vnc-servers` listens.
fn place(servers: &Value) -> Option<String> {
    let server = &servers[0]["server"][0];
    let (host, port) = (server["host"].as_str()?, server["service"].as_str()?);
    Some(format!("{host}, port {port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemus_answer_says_where_it_listens() {
        let answer = json!([{"auth": "none", "clients": [], "id": "default", "server": [
            {"auth": "none", "family": "ipv4", "service": "5917", "host": "127.0.0.1", "websocket": false}]}]);
        assert_eq!(place(&answer).as_deref(), Some("127.0.0.1, port 5917"));
        for strange in [json!([]), json!([{"server": []}]), Value::Null] {
            assert_eq!(place(&strange), None);
        }
    }
}
