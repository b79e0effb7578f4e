package config

import (
	"fmt"
	"slices"
	"strings"
)

// Storage types.
const (
	StorageEmbedded = "embedded"
	StorageMemory   = "inmem"
)

// Storage is where the data is kept (contract: config §4).
type Storage struct {
	// Type is StorageEmbedded or StorageMemory.
	Type string
	// Path is the directory of the embedded store.
	Path string
	// NodeID is raft's node_id, shown in answers when asked for; else "".
	NodeID string
	// Declared is the type as the file has it: "file" and "raft" are synonyms of embedded.
	Declared string
	// Source is where the stanza stands, for errors of those who open the store.
	Source string
}

// InMemory tells whether the data ends with the process.
func (s Storage) InMemory() bool { return s.Type == StorageMemory }

// storageStanza is a storage block as written; the legacy keys among it belong to the top.
type storageStanza struct {
	storage   Storage
	addresses Addresses
}

func parseStorage(s scope, c *Config, e entry) error {
	found, err := e.val.blocks(1)
	if err != nil {
		return fmt.Errorf("error parsing 'storage': %w", err)
	}
	if len(found) > 1 || (len(found) == 1 && s.d.storageIn == e.pos.file) {
		return fmt.Errorf("error parsing 'storage': only one \"storage\" block is permitted")
	}
	for _, b := range found {
		if len(b.labels) == 0 {
			return fmt.Errorf("error parsing 'storage': a storage type must be specified")
		}
		s.d.storageIn = e.pos.file
		declared := strings.ToLower(b.labels[0])
		got := storageStanza{storage: Storage{Declared: declared, Source: b.pos.String()}}
		s := scope{d: s.d, path: "storage." + declared, preface: "error parsing 'storage': "}
		switch declared {
		case "inmem", "inmem_ha", "inmem_transactional", "inmem_transactional_ha":
			got.storage.Type = StorageMemory
		case "embedded", "file", "raft":
			got.storage.Type = StorageEmbedded
		default:
			return fmt.Errorf("Unknown storage type %s (supported: embedded, inmem, and file and raft as synonyms of embedded)", b.labels[0])
		}
		decode(s, &got, b.body, storageGrammar(declared))
		s.d.finishStorage(s, &got, b)
		c.Storage = got.storage
		if c.Addresses.API == "" {
			c.Addresses.API = got.addresses.API
		}
		if c.Addresses.Cluster == "" {
			c.Addresses.Cluster = got.addresses.Cluster
		}
		c.Addresses.DisableClustering = c.Addresses.DisableClustering || got.addresses.DisableClustering
	}
	return nil
}

func (d *decoder) finishStorage(s scope, got *storageStanza, b block) {
	if got.storage.Type != StorageEmbedded {
		return
	}
	if got.storage.Declared == "raft" {
		d.env.override(&got.storage.Path, "RAFT_PATH")
		d.env.override(&got.storage.NodeID, "RAFT_NODE_ID")
	}
	if got.storage.Path == "" {
		s.fail(b.pos, "path", fmt.Sprintf("Error initializing storage of type %s: 'path' must be set", got.storage.Declared))
	}
	if got.storage.Declared != "embedded" {
		scope{d: d, path: "storage"}.warn(b.pos, got.storage.Declared, "storage %q is opened as the embedded store at its path; data written there by another server is not read", got.storage.Declared)
	}
}

func storageGrammar(declared string) grammar[storageStanza] {
	g := grammar[storageStanza]{
		keys: map[string]setter[storageStanza]{
			"redirect_addr":      text(func(s *storageStanza) *string { return &s.addresses.API }),
			"advertise_addr":     text(func(s *storageStanza) *string { return &s.addresses.API }),
			"cluster_addr":       text(func(s *storageStanza) *string { return &s.addresses.Cluster }),
			"disable_clustering": toggle(func(s *storageStanza) *bool { return &s.addresses.DisableClustering }),
		},
		ignored: map[string]string{},
	}
	if declared == "embedded" || declared == "file" || declared == "raft" {
		g.keys["path"] = text(func(s *storageStanza) *string { return &s.storage.Path })
	}
	const oneNode = "the server is one node"
	switch declared {
	case "raft":
		g.keys["node_id"] = text(func(s *storageStanza) *string { return &s.storage.NodeID })
		g.keys["retry_join"] = noted[storageStanza](oneNode + " and joins no other")
		g.repeatable = append(g.repeatable, "retry_join")
		for _, key := range []string{
			"performance_multiplier", "trailing_logs", "snapshot_threshold", "snapshot_interval", "raft_log_verifier_enabled",
			"retry_join_as_non_voter", "raft_wal", "autopilot_reconcile_interval", "autopilot_update_interval",
			"autopilot_redundancy_zone", "autopilot_upgrade_version", "max_trailing_logs", "mmap_populate", "max_batch_size", "max_batch_entries",
		} {
			g.ignored[key] = oneNode
		}
		g.ignored["max_entry_size"] = "max_request_size bounds what is stored"
		g.ignored["max_mount_and_namespace_table_entry_size"] = "mounts are stored one by one"
	case "inmem", "inmem_ha", "inmem_transactional", "inmem_transactional_ha":
		g.ignored["max_value_size"] = "max_request_size bounds what is stored"
		g.ignored["path"] = "the memory store has no path"
	}
	return g
}

// ignoreHA notes that a second storage for locks is not used.
func ignoreHA(s scope, _ *Config, e entry) error {
	found, err := e.val.blocks(1)
	if err != nil {
		return fmt.Errorf("error parsing '%s': %w", e.key, err)
	}
	var names []string
	for _, b := range found {
		names = append(names, b.labels...)
	}
	slices.Sort(names)
	s.warn(e.pos, e.key, "%s %s has no effect here: the server is one node", e.key, strings.Join(names, ", "))
	return nil
}
