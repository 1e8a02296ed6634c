//! One engine, spoken to over its control socket.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use kemari_engine::sys::process::spawn_bound;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::client::Traffic;
use super::{Lab, debian_image, eventually, guest_image, pc_image, preload};

/// The specification of node 1 or 2, with this machine's paths.
pub fn spec(lab: &Lab, node: u8) -> Value {
    booting(bare_spec(lab, node), &guest_image())
}

/// As [`spec`], for a guest with the drivers of real machines' devices.
pub fn pc_spec(lab: &Lab, node: u8) -> Value {
    booting(bare_spec(lab, node), &pc_image())
}

/// As [`spec`], for the Debian guest.
pub fn debian_spec(lab: &Lab, node: u8) -> Value {
    let mut spec = booting(bare_spec(lab, node), &debian_image());
    spec["machine"]["memory_mib"] = json!(1024);
    spec["machine"]["vcpus"] = json!(2);
    spec
}

fn booting(mut spec: Value, image: &Path) -> Value {
    spec["machine"]["kernel"] = json!(image.join("vmlinuz"));
    spec["machine"]["initrd"] = json!(image.join("initrd.gz"));
    spec
}

/// As [`spec`], for a guest that is never booted: its kernel is a file, and that is all.
pub fn bare_spec(lab: &Lab, node: u8) -> Value {
    let text = include_str!("../../../test/contract/spec/engine.json");
    let mut spec: Value = serde_json::from_str(text).expect("the golden specification");
    let other = 3 - node;
    let folder = lab.folder().join(format!("n{node}"));
    fs::create_dir_all(&folder).expect("runtime folder");
    spec["node"] = json!(format!("n{node}"));
    spec["listen"] = json!({"address": format!("10.77.2.{node}"), "port": 7900});
    spec["peers"] =
        json!([{"node": format!("n{other}"), "address": format!("10.77.2.{other}"), "port": 7900}]);
    spec["transport"]["key"] = json!(super::key::of_this_lab());
    spec["runtime_dir"] = json!(folder);
    spec["control_socket"] = json!(folder.join("engine.sock"));
    spec["supervisor"] = Value::Null;
    spec["preload"] = json!(preload());
    let machine = &mut spec["machine"];
    let kernel = folder.join("kernel");
    fs::write(&kernel, vec![0; 65_536]).expect("boot file");
    (machine["kernel"], machine["initrd"]) = (json!(kernel), Value::Null);
    machine["memory_mib"] = json!(128);
    // Not quiet: a guest that does not come up must say how far it came.
    machine["cmdline"] = json!("console=ttyS0 panic=-1 kemari.ip=10.77.3.10/24");
    machine["console_log"] = json!(folder.join("console"));
    machine["interfaces"][0]["tap"] = json!(format!("kt{node}"));
    machine["interfaces"][0]["bridge"] = json!("br0");
    spec["limits"]["ack_timeout_ms"] = json!(1500);
    spec
}

/// A program to be started in QEMU's place: this shell script, where `$QEMU` is the real one.
pub fn qemu_script(lab: &Lab, name: &str, script: &str) -> PathBuf {
    let path = lab.folder().join(name);
    let text = format!("#!/bin/sh\nQEMU=/usr/bin/qemu-system-x86_64\n{script}\n");
    fs::write(&path, text).expect("write a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
    path
}

/// As [`spec`], but the engine reaches its peer through the proxy in front of it.
pub fn proxied_spec(lab: &Lab, node: u8) -> Value {
    behind_proxy(spec(lab, node), node)
}

/// The same of this specification of node 1 or 2.
pub fn behind_proxy(mut spec: Value, node: u8) -> Value {
    spec["peers"][0]["address"] = json!(format!("10.77.2.1{}", 3 - node));
    spec
}

/// The same, speaking without TLS.
pub fn plain(mut spec: Value) -> Value {
    spec["transport"] = json!({"kind": "plain"});
    spec
}

/// An order that was not carried out.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, for a program.
    pub code: String,
    /// Why, for a person.
    pub message: String,
}

/// A running engine.
pub struct Engine {
    name: String,
    child: Child,
    socket: PathBuf,
    log: PathBuf,
    console: PathBuf,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Engine {
    /// Starts it and waits until it answers.
    pub fn start(spec: &Value) -> Self {
        let mut engine = Self::spawn(spec);
        eventually("the engine answers on its control socket", || {
            if let Ok(Some(status)) = engine.child.try_wait() {
                panic!("{} ended ({status}): {}", engine.name, engine.last_line());
            }
            UnixStream::connect(&engine.socket).ok()
        });
        engine.subscribe();
        engine
    }

    /// Starts it.
    pub fn spawn(spec: &Value) -> Self {
        // A killed engine leaves its socket behind.
        let _ = fs::remove_file(spec["control_socket"].as_str().expect("a path"));
        Self::spawn_beside(spec)
    }

    /// Starts it, whatever is at the place of its control socket.
    pub fn spawn_beside(spec: &Value) -> Self {
        let path = |value: &Value| PathBuf::from(value.as_str().expect("a path"));
        let folder = path(&spec["runtime_dir"]);
        let socket = path(&spec["control_socket"]);
        let name = spec["node"].as_str().expect("a name").to_owned();
        let file = folder.join("spec.json");
        fs::write(&file, spec.to_string()).expect("write the specification");
        let log = folder.join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_kemari-engine"));
        let stderr = File::options().create(true).append(true).open(&log);
        command
            .arg("--spec")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.expect("log"));
        Self {
            name,
            child: spawn_bound(command, &[]).expect("start the engine"),
            socket,
            log,
            console: path(&spec["machine"]["console_log"]),
            events: Arc::default(),
        }
    }

    fn subscribe(&self) {
        let mut stream = UnixStream::connect(&self.socket).expect("control socket");
        stream
            .write_all(b"{\"v\":1,\"id\":1,\"command\":\"subscribe\"}\n")
            .expect("subscribe");
        let mut lines = BufReader::new(stream).lines();
        let reply = lines.next().expect("reply").expect("reply");
        assert!(reply.contains("\"ok\""), "{reply}");
        let events = Arc::clone(&self.events);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("an event is JSON");
                events.lock().expect("events").push(event);
            }
        });
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it told its subscribers since the last call.
    pub fn take_events(&self) -> Vec<Value> {
        std::mem::take(&mut *self.events.lock().expect("events"))
    }

    /// Waits for an event of this name, dropping those before it.
    pub fn wait_event(&self, name: &str) -> Value {
        eventually(&format!("{} tells {name}", self.name), || {
            let mut events = self.events.lock().expect("events");
            let at = events.iter().position(|event| event["event"] == name)?;
            events.drain(..=at).next_back()
        })
    }

    /// Gives an order and waits for the answer.
    pub fn order(&self, mut order: Value) -> Result<Value, Refusal> {
        (order["v"], order["id"]) = (json!(1), json!(7));
        ask(&self.socket, &order)
    }

    /// Gives an order from another thread, for one that takes its time.
    pub fn order_later(&self, mut order: Value) -> thread::JoinHandle<Result<Value, Refusal>> {
        (order["v"], order["id"]) = (json!(1), json!(7));
        let socket = self.socket.clone();
        thread::spawn(move || ask(&socket, &order))
    }

    /// Promotes it.
    pub fn promote(&self, mode: &str, generation: u64) -> Result<Value, Refusal> {
        self.order(json!({"command": "promote", "mode": mode, "generation": generation}))
    }

    /// Ends it by order; it must end well.
    pub fn stop(mut self) {
        self.order(json!({"command": "stop"})).expect("stop");
        let status = self.wait_end();
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// What it says of itself.
    pub fn status(&self) -> Value {
        let mut ok = self.order(json!({"command": "status"})).expect("status");
        ok["status"].take()
    }

    /// Waits until its status is as `wanted`.
    pub fn wait_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(&format!("{}: {what}", self.name), || {
                last = self.status();
                wanted(&last).then(|| last.clone())
            })
        }));
        outcome.unwrap_or_else(|panic| {
            println!("{} was last: {last}", self.name);
            std::panic::resume_unwind(panic)
        })
    }

    /// Waits until it is in `state`.
    pub fn wait_state(&self, state: &str) -> Value {
        self.wait_status(state, |status| status["state"] == state)
    }

    /// Its QEMU's process id.
    pub fn qemu_pid(&self) -> u32 {
        let pid = self.status()["qemu_pid"].as_u64().expect("a QEMU");
        u32::try_from(pid).expect("a process id")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        signal_process(self.pid(), signal);
    }

    /// Stops it in its tracks, until [`Signal::CONT`]: what it is sent waits in its receive queue.
    pub fn suspend(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid());
        eventually("every thread of the engine is stopped", || {
            fs::read_dir(&tasks)
                .expect("threads")
                .filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok())
                .all(|stat| state_of(&stat) == Some('T'))
                .then_some(())
        });
    }

    /// Kills it and reaps it.
    pub fn kill(mut self) {
        self.end();
    }

    /// Waits until it has ended by itself.
    pub fn wait_end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the engine ends", || child.try_wait().expect("wait"))
    }

    /// The last line of its log.
    pub fn last_line(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().next_back().unwrap_or_default().to_owned()
    }

    /// How often its log says `what`.
    pub fn said(&self, what: &str) -> usize {
        fs::read_to_string(&self.log)
            .unwrap_or_default()
            .matches(what)
            .count()
    }

    /// The lines of its log that say `message`.
    pub fn lines_with(&self, message: &str) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["message"] == message)
            .collect()
    }

    /// A field of the last line of its log that says `message`.
    pub fn logged(&self, message: &str, field: &str) -> Value {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let mut lines = text
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line["message"] == message);
        line.map_or(Value::Null, |mut line| line[field].take())
    }

    /// The guest's console, as this engine's QEMUs have written it.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Memory that is its own, beside guest RAM (KiB).
    pub fn private_kib(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("status");
        text.lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse().ok())
            .expect("RssAnon")
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            for (what, text) in [("log", log), ("guest's console", self.console())] {
                let lines: Vec<&str> = text.lines().collect();
                println!("--- the last of {}'s {what}", self.name);
                for line in &lines[lines.len().saturating_sub(30)..] {
                    println!("{line}");
                }
            }
        }
    }
}

/// Two engines, and a client whose guest the first runs and the second protects.
pub fn protected_pair(lab: &Lab) -> (Engine, Engine, Traffic) {
    protected_pair_of([1, 2].map(|number| spec(lab, number)))
}

/// The same of such specifications.
pub fn protected_pair_of([first, second]: [Value; 2]) -> (Engine, Engine, Traffic) {
    let (first, second) = (Engine::start(&first), Engine::start(&second));
    first.promote("cold", 1).expect("cold");
    first.wait_state("protected");
    let mut traffic = Traffic::start();
    traffic.flows(50);
    (first, second, traffic)
}

/// Sends `signal` to the process `pid`.
pub fn signal_process(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a pid");
    kill_process(pid, signal).expect("signal");
}

/// Waits until no process `pid` runs any more.
pub fn wait_gone(pid: u32) {
    eventually(&format!("process {pid} is gone"), || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A zombie has released everything.
        matches!(state_of(&stat), None | Some('Z' | 'X')).then_some(())
    });
}

/// The state that `/proc/PID/stat` names (proc(5)).
fn state_of(stat: &str) -> Option<char> {
    stat.rsplit(") ").next()?.chars().next()
}

fn ask(socket: &Path, order: &Value) -> Result<Value, Refusal> {
    let mut stream = UnixStream::connect(socket).expect("control socket");
    writeln!(stream, "{order}").expect("order");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("reply");
    let mut reply: Value =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{order} → {line:?}: {error}"));
    assert_eq!(reply["id"], order["id"], "{line}");
    match reply.get_mut("error") {
        None => Ok(reply["ok"].take()),
        Some(error) => Err(Refusal {
            code: error["code"].as_str().unwrap_or_default().to_owned(),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
        }),
    }
}
