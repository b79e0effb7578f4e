package embedded

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// engineLogger receives Pebble's log. Its chatter about files is dropped.
type engineLogger struct{ s *Store }

// Infof drops the message.
func (engineLogger) Infof(string, ...any) {}

// Errorf reports a problem that Pebble lives with.
func (l engineLogger) Errorf(format string, args ...any) {
	l.s.logger.Error("store: engine: " + fmt.Sprintf(format, args...))
}

// Fatalf is called where Pebble's own data structures contradict each other, and must not
// return. A disk that fails does not lead here: failStop stands before it. The files are frozen
// before the panic so that nothing wrong reaches them.
func (l engineLogger) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	panic(l.s.disk.freeze("engine", fmt.Errorf("pebble: %s", message)))
}

// engineEvents are the events of Pebble that an operator must hear of.
func (s *Store) engineEvents() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if s.disk.failure() != nil {
				return // said once already, and Pebble tries again and again
			}
			s.logger.Error("store: background work failed", "error", err)
		},
		// Reads of the bad block fail with an error of their own; the rest stays readable.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.logger.Error("store: data on disk is corrupt", "file", info.Path, "error", info.Details)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			s.logger.Warn("store: writes wait for the disk", "reason", info.Reason)
		},
		WriteStallEnd: func() {
			s.logger.Warn("store: writes no longer wait")
		},
		LowDiskSpace: func(info pebble.LowDiskSpaceInfo) {
			s.logger.Warn("store: disk is filling up", "available_bytes", info.AvailBytes, "total_bytes", info.TotalBytes)
		},
	}
}
