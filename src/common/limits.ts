/** Every bound of the control path, in one place. Times in milliseconds, sizes in bytes. */
export const limits = {
  /** One line on a control socket; an engine's status is below 2 KiB. */
  line_bytes: 256 * 1024,
  /** A config file; the largest sensible one is below 4 KiB. */
  config_bytes: 256 * 1024,
  /** The file of a sync key, as the engine bounds it; one has 119 bytes. */
  key_bytes: 4096,
  /** state.json and the records in the run folder. */
  record_bytes: 64 * 1024,
  /** Lines of the log that a full disk has not taken yet; more are dropped. */
  log_backlog_bytes: 1024 * 1024,
  /** How much of the end of the engine's log is read for its last words. */
  last_words_bytes: 64 * 1024,

  /** A status from a socket of this host. Its owner answers from memory: later means that it hangs. */
  status_ms: 5_000,
  /** A sign of life from the supervisor. */
  ping_ms: 2_000,
  /** Between two tries to write to a pipe that its reader has left full. */
  full_pipe_ms: 1,
  /** Between two looks at a socket or a process that is about to change. */
  poll_ms: 25,
  /** From the engine's start to its control socket: QEMU's start and the allocation of the guest's RAM. */
  engine_start_ms: 60_000,
  /** Lost connection to an engine whose process lives: how long to try again before it counts as hung. */
  engine_reconnect_ms: 3_000,
  /** From an engine's end, seen on its socket, to its exit code. */
  exit_code_ms: 5,
  /** A monitor's question to the supervisor, who asks the engine in turn. */
  monitor_ms: 8_000,
  /** enter-solo, which only turns a page; promote and demote get what their action has left. */
  engine_command_ms: 60_000,
  /** What of a promotion's time is kept for the engine while state.json cannot be written and is tried again. */
  promote_reserve_ms: 5_000,
  /** From the demote that follows a failed promote to another try. */
  promote_again_ms: 3_000,
  /** An orderly stop of the engine, before it is killed. */
  engine_stop_ms: 5_000,
  /** No guest powers itself off in less; it is not asked then. */
  shutdown_least_ms: 3_000,
  /** Between two looks at whether the guest has powered itself off. */
  shutdown_poll_ms: 100,
  /** The supervisor's whole orderly stop, before everything is killed. */
  supervisor_stop_ms: 12_000,
  /** A supervisor that is dead when its guest is to be stopped: how long it may take until a new one listens. */
  supervisor_revive_ms: 30_000,
  /** What of a stop's time is kept for an end without a supervisor. */
  stop_alone_ms: 5_000,
  /** For an answer that takes longer than this it is asked whether somebody is there who will give it. */
  patience_ms: 500,
  /** From SIGKILL to the end of the process; a process in uninterruptible I/O outlives it. */
  kill_ms: 10_000,
  /** Who was found when that time was over has this long: an end takes a moment. */
  kill_least_ms: 500,
  /** A replica that takes longer to be built is worth a person's look; most are built in less. */
  receiving_grace_ms: 15_000,
  /** The engine's data thread said nothing for so long: it is stuck, the guest with it. */
  data_thread_stuck_ms: 15_000,
  /** Between two tries of a monitor script that waits for a guest to boot. */
  script_retry_ms: 1_000,
  /** From the end of a monitor script's time to the end of all that it has started. */
  script_end_ms: 500,
  /** After outputs have waited: who talks to the guest needs so long to notice that they go again. */
  flow_settle_ms: 3_000,
  /** What is kept of a monitor script's output, bytes. */
  script_output_bytes: 4_096,
  /** Why a guest is sick. */
  sickness_characters: 2_048,
  /** What of a demote's time is kept for the end of a sick guest that does not power itself off. */
  end_guest_reserve_ms: 10_000,
  /** Looking up the host names of the sync network. */
  look_up_ms: 5_000,
  /** One call of a cluster tool: attrd and corosync answer in 10 ms or are in trouble. */
  cluster_tool_ms: 2_000,
  /** Between two looks of the supervisor at everything. */
  tick_ms: 1_000,
  /** How long a lost replica waits for a cluster at rest before it is left to the next monitor. */
  report_wait_ms: 30_000,
  /** Between two looks at whether it is at rest. */
  report_poll_ms: 200,
  /** Between two proofs that the disk under state.json takes a write. */
  disk_probe_ms: 3_000,
  /** A write of state.json that takes longer counts as failed until it is done. */
  disk_stuck_ms: 5_000,
  /** How long the newest disk of a stopped resource waits for the words of the others. */
  disk_words_ms: 3_000,
  /** Between two looks at whether the node attributes are still there. */
  verify_ms: 30_000,
  /** From the loss of the link to the first step towards going on without it: it may be back at once. */
  reconnect_grace_ms: 300,
  /** An action's time-out when Pacemaker did not give one. */
  action_ms: 60_000,
  /** What an action keeps of its time-out to clean up and to answer before Pacemaker kills it. */
  action_margin_ms: 3_000,
  /** From the supervisor's last moment to answer to the end of the action's patience. */
  answer_ms: 1_000,
} as const;
