package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"jeton/internal/backend"
)

// envelope is a successful answer on its way out. Contract: http §4.
type envelope struct {
	requestID string
	// data is the JSON of the answer's data, nil for null.
	data     json.RawMessage
	leaseID  string
	duration time.Duration
	response *backend.Response
	mount    string
	// inject copies data's members to the top level.
	inject bool
}

// usualData holds what most answers say, in bytes.
const usualData = 1024

// encodeData is the answer's data as JSON, made once: the audit entry, the envelope and a
// wrapped answer share it.
func encodeData(data any) (json.RawMessage, error) {
	switch data := data.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		return data, nil
	case backend.Written:
		return data.AppendJSON(make([]byte, 0, usualData))
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("server: encode an answer of type %T: %w", data, err)
	}
	if string(encoded) == "null" {
		return nil, nil
	}
	return encoded, nil
}

// encode writes the envelope, its members in the contract's order.
func (e *envelope) encode() ([]byte, error) {
	size := 256 + len(e.data)
	if e.response.Auth != nil {
		size += 1024 // a token and what is said of it
	}
	if e.inject {
		size += len(e.data)
	}
	out := make([]byte, 0, size)
	out = append(out, '{')
	if e.inject {
		members, err := injectable(e.data)
		if err != nil {
			return nil, err
		}
		if len(members) > 2 {
			out = append(append(out, members[1:len(members)-1]...), ',')
		}
	}
	out = append(out, `"request_id":"`...)
	out = append(out, e.requestID...)
	out = append(out, `","lease_id":`...)
	var err error
	if out, err = appendJSON(out, e.leaseID, e.leaseID == "", `""`); err != nil {
		return nil, err
	}
	out = append(out, `,"renewable":`...)
	out = strconv.AppendBool(out, e.response.Secret != nil && e.response.Secret.Renewable)
	out = append(out, `,"lease_duration":`...)
	out = strconv.AppendInt(out, int64(e.duration/time.Second), 10)
	out = append(out, `,"data":`...)
	if e.data == nil {
		out = append(out, "null"...)
	} else {
		out = append(out, e.data...)
	}
	out = append(out, `,"wrap_info":null,"warnings":`...)
	if out, err = appendJSON(out, e.response.Warnings, e.response.Warnings == nil, "null"); err != nil {
		return nil, err
	}
	out = append(out, `,"auth":`...)
	if e.response.Auth == nil {
		out = append(out, "null"...)
	} else if out, err = e.response.Auth.AppendJSON(out); err != nil {
		return nil, err
	}
	if e.mount != "" {
		out = append(out, `,"mount_type":"`...)
		out = append(out, e.mount...)
		out = append(out, '"')
	}
	return append(out, "}\n"...), nil
}

// envelopeMembers are the names that the envelope itself has.
func envelopeMembers() []string {
	return []string{"request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth", "mount_type"}
}

// injectable is the object data without the members that the envelope has: a name that came
// twice would be read differently by different clients. It is empty for what is no object.
func injectable(data json.RawMessage) (json.RawMessage, error) {
	if len(data) == 0 || data[0] != '{' {
		return nil, nil
	}
	collides := func(name string) bool { return bytes.Contains(data, []byte(`"`+name+`":`)) }
	if !slices.ContainsFunc(envelopeMembers(), collides) {
		return data, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("server: inject an answer's members: %w", err)
	}
	for _, name := range envelopeMembers() {
		delete(members, name)
	}
	return json.Marshal(members)
}

// appendJSON appends v as JSON. What is empty, as most members are, needs no encoder.
func appendJSON(out []byte, v any, empty bool, as string) ([]byte, error) {
	if empty {
		return append(out, as...), nil
	}
	encoded, err := json.Marshal(v)
	return append(out, encoded...), err
}

// wrappedEnvelope is what the client gets in place of a wrapped answer. Contract: wrapping §2.
func wrappedEnvelope(info *backend.WrapInfo) ([]byte, error) {
	encoded, err := json.Marshal(info)
	if err != nil {
		return nil, err
	}
	out := append([]byte(`{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":`), encoded...)
	return append(out, `,"warnings":null,"auth":null}`+"\n"...), nil
}
