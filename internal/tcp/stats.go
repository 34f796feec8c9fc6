package tcp

// Stats are a machine's counters by the names of /proc/net/snmp (Tcp) and
// /proc/net/netstat (TcpExt), which netstat -s and nstat show.
type Stats struct {
	ActiveOpens, PassiveOpens, AttemptFails, EstabResets uint64
	InSegs, OutSegs, RetransSegs                         uint64
	InErrs, OutRsts, InCsumErrors                        uint64

	SyncookiesSent, SyncookiesRecv, SyncookiesFailed uint64
	EmbryonicRsts                                    uint64
	TW, TWRecycled, TWKilled                         uint64
	PAWSActive, PAWSEstab                            uint64
	DelayedACKs, DelayedACKLost                      uint64
	ListenOverflows, ListenDrops                     uint64
	TCPPureAcks                                      uint64
	TCPRenoRecovery, TCPSackRecovery                 uint64
	TCPSACKReneging, TCPSACKReorder, TCPRenoReorder  uint64
	TCPTSReorder                                     uint64
	TCPFullUndo, TCPPartialUndo, TCPDSACKUndo        uint64
	TCPLossUndo, TCPLostRetransmit                   uint64
	TCPRenoFailures, TCPSackFailures                 uint64
	TCPLossFailures, TCPFastRetrans                  uint64
	TCPSlowStartRetrans, TCPTimeouts                 uint64
	TCPLossProbes, TCPLossProbeRecovery              uint64
	TCPDSACKOldSent, TCPDSACKOfoSent                 uint64
	TCPDSACKRecv, TCPDSACKOfoRecv                    uint64
	TCPAbortOnData, TCPAbortOnClose                  uint64
	TCPAbortOnMemory, TCPAbortOnTimeout              uint64
	TCPAbortOnLinger                                 uint64
	TCPSpuriousRTOs                                  uint64
	TCPOFOQueue, TCPOFODrop, TCPOFOMerge             uint64
	TCPRcvCoalesce, TCPRcvQDrop                      uint64
	TCPChallengeACK, TCPSYNChallenge                 uint64
	TCPReqQFullDoCookies, TCPReqQFullDrop            uint64
	TCPRetransFail, TCPSynRetrans                    uint64
	TCPZeroWindowDrop, TCPFromZeroWindowAdv          uint64
	TCPToZeroWindowAdv, TCPWantZeroWindowAdv         uint64
	TCPKeepAlive, TCPWinProbe                        uint64
	TCPACKSkippedSynRecv, TCPACKSkippedPAWS          uint64
	TCPACKSkippedSeq, TCPACKSkippedChallenge         uint64
	TCPDelivered, TCPDeliveredCE                     uint64
	TCPAckCompressed, TCPOrigDataSent                uint64
	TCPHystartTrainDetect, TCPHystartDelayDetect     uint64
}
