package cli

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"
)

// statusCommands ask a server how it is. They send no token.
func statusCommands() []command {
	return []command{{
		name: "status", synopsis: "Print seal and HA status",
		help: `Prints whether the server is initialised, sealed, and who leads. The exit code
is 0 when it is unsealed, 2 when it is sealed, 1 when it cannot be asked.

    $ jeton status
    $ until jeton status > /dev/null; do sleep 1; done`,
		arity: exactly(0), surface: talks,
		build: func(*flagSet) runFunc { return runStatus },
	}}
}

func runStatus(s *session, _ []string) error {
	s.req.namespace = "" // the status is the server's, not a namespace's
	c, err := s.bareClient()
	if err != nil {
		return asLocal(err)
	}
	st, err := c.Sys().SealStatusWithContext(s.ctx)
	if err != nil {
		return asLocal(s.remote("checking seal status", err))
	}
	leader, err := c.Sys().LeaderWithContext(s.ctx)
	if err != nil {
		var re *api.ResponseError
		if !errors.As(err, &re) {
			return asLocal(s.remote("checking leader status", err))
		}
		leader = nil // sealed, or a server without the endpoint
	}
	if err := s.sealStatus(st, leader); err != nil {
		return err
	}
	if st.Sealed {
		return quietly(exitRemote)
	}
	return nil
}

// asLocal gives an error exit code 1: for status, 2 means sealed.
func asLocal(err error) error {
	var e *exitError
	if errors.As(err, &e) {
		e.code = exitLocal
	}
	return err
}

// sealStatusOutput is the machine form: seal-status and leader in one object.
type sealStatusOutput struct {
	api.SealStatusResponse
	HAEnabled            bool       `json:"ha_enabled"`
	IsSelf               bool       `json:"is_self,omitempty"`
	ActiveTime           *time.Time `json:"active_time,omitempty"`
	LeaderAddress        string     `json:"leader_address,omitempty"`
	LeaderClusterAddress string     `json:"leader_cluster_address,omitempty"`
	RaftCommittedIndex   uint64     `json:"raft_committed_index,omitempty"`
	RaftAppliedIndex     uint64     `json:"raft_applied_index,omitempty"`
}

// sealStatus prints st; leader may be nil when it is not known.
func (s *session) sealStatus(st *api.SealStatusResponse, leader *api.LeaderResponse) error {
	if leader == nil {
		leader = &api.LeaderResponse{}
	}
	if !s.out.table() {
		o := sealStatusOutput{
			SealStatusResponse: *st, HAEnabled: leader.HAEnabled, IsSelf: leader.IsSelf,
			LeaderAddress: leader.LeaderAddress, LeaderClusterAddress: leader.LeaderClusterAddress,
			RaftCommittedIndex: leader.RaftCommittedIndex, RaftAppliedIndex: leader.RaftAppliedIndex,
		}
		if !leader.ActiveTime.IsZero() {
			o.ActiveTime = &leader.ActiveTime
		}
		return s.machine(o)
	}
	rows := [][]string{{"Key", "Value"}}
	add := func(k string, v any) { rows = append(rows, []string{k, fmt.Sprint(v)}) }
	add("Seal Type", st.Type)
	shares := "Total Shares"
	if st.RecoverySeal {
		shares = "Total Recovery Shares"
		add("Recovery Seal Type", st.RecoverySealType)
	}
	add("Initialized", st.Initialized)
	add("Sealed", st.Sealed)
	add(shares, st.N)
	add("Threshold", st.T)
	if st.Sealed {
		add("Unseal Progress", strconv.Itoa(st.Progress)+"/"+strconv.Itoa(st.T))
		add("Unseal Nonce", st.Nonce)
	}
	if st.Migration {
		add("Seal Migration in Progress", true)
	}
	add("Version", st.Version)
	add("Build Date", st.BuildDate)
	add("Storage Type", st.StorageType)
	if st.ClusterName != "" && st.ClusterID != "" {
		add("Cluster Name", st.ClusterName)
		add("Cluster ID", st.ClusterID)
	}
	add("HA Enabled", leader.HAEnabled)
	if leader.HAEnabled {
		rows = append(rows, haRows(st.Sealed, leader)...)
	}
	s.con.print(table(rows))
	return nil
}

func haRows(sealed bool, leader *api.LeaderResponse) [][]string {
	var rows [][]string
	add := func(k string, v any) { rows = append(rows, []string{k, fmt.Sprint(v)}) }
	if !sealed {
		add("HA Cluster", leader.LeaderClusterAddress)
		mode := "standby"
		if leader.IsSelf {
			mode = "active"
		}
		add("HA Mode", mode)
		if leader.IsSelf && !leader.ActiveTime.IsZero() {
			add("Active Since", leader.ActiveTime.Format(time.RFC3339Nano))
		}
		if !leader.IsSelf {
			address := leader.LeaderAddress
			if address == "" {
				address = "<none>"
			}
			add("Active Node Address", address)
		}
	}
	if leader.RaftCommittedIndex > 0 {
		add("Raft Committed Index", leader.RaftCommittedIndex)
	}
	if leader.RaftAppliedIndex > 0 {
		add("Raft Applied Index", leader.RaftAppliedIndex)
	}
	return rows
}
