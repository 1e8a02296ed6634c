// corosync.conf of a lab: knet with encryption, two_node, which implies wait_for_all.
import { nodeAddress } from './networks.js';
import { nodeNames, type LabSettings } from './settings.js';

export function corosyncConf(settings: LabSettings): string {
  const nodes = nodeNames(settings).map(
    (name, index) => `  node {
    nodeid: ${index + 1}
    name: ${name}
    ring0_addr: ${nodeAddress('ring', index + 1)}
  }`,
  );
  // knet's own link time-outs, derived from a short token, take a busy host for a dead link.
  return `totem {
  version: 2
  cluster_name: lab
  transport: knet
  token: ${settings.token_ms}
  consensus: ${settings.consensus_ms}
  crypto_cipher: aes256
  crypto_hash: sha256
  interface {
    linknumber: 0
    knet_ping_interval: 500
    knet_ping_timeout: 2000
    knet_pong_count: 2
  }
}
nodelist {
${nodes.join('\n')}
}
quorum {
  provider: corosync_votequorum
  ${settings.nodes === 2 ? 'two_node: 1' : 'two_node: 0'}
}
logging {
  to_stderr: no
  to_syslog: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  timestamp: hires
}
`;
}
