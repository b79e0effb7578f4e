package node

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// A snapshot is a gzip stream of a tar archive, as clients of this API expect one:
//
//	meta.json           SnapshotMeta
//	state/00000000 …    the pairs as they are stored, in the order of their keys, cut into members
//	                    of a megabyte wherever that falls: uvarint length, key, uvarint length, value
//	SHA256SUMS          the SHA-256, in hexadecimal, of meta.json and all of state, one after the other
//	SHA256SUMS.sealed   the HMAC-SHA256 of that sum under a key that only the server's keyring gives
//
// Values are in it as they are on disk: encrypted, each bound to its key. Reading and writing need
// memory for one member, whatever the size of the whole.
const (
	metaMember   = "meta.json"
	stateFormat  = "state/%08d"
	sumMember    = "SHA256SUMS"
	sealedMember = "SHA256SUMS.sealed"

	memberBytes = 1 << 20
	// maxPairBytes bounds a key and a value each; what the server stores is far smaller.
	maxPairBytes = 256 << 20

	snapshotFormat = 1
)

// SnapshotMeta is what a snapshot says of itself.
type SnapshotMeta struct {
	Format    int       `json:"format"`
	ClusterID string    `json:"cluster_id"`
	Position  uint64    `json:"position"`
	Taken     time.Time `json:"taken"`
}

// ErrBadSnapshot says that what was given is no snapshot, or not a whole one.
var ErrBadSnapshot = errors.New("node: not a whole snapshot")

// snapshotWriter writes a snapshot.
type snapshotWriter struct {
	zip    *gzip.Writer
	tar    *tar.Writer
	sum    hash.Hash
	buf    []byte
	member int
	taken  time.Time
}

func newSnapshotWriter(w io.Writer, meta SnapshotMeta) (*snapshotWriter, error) {
	zip := gzip.NewWriter(w)
	s := &snapshotWriter{zip: zip, tar: tar.NewWriter(zip), sum: sha256.New(), taken: meta.Taken}
	encoded, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	_, _ = s.sum.Write(encoded) // never fails
	return s, s.put(metaMember, encoded)
}

func (s *snapshotWriter) put(name string, data []byte) error {
	err := s.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: s.taken, Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	_, err = s.tar.Write(data)
	return err
}

// pair adds a pair.
func (s *snapshotWriter) pair(key, value []byte) error {
	for _, part := range [][]byte{key, value} {
		s.buf = append(binary.AppendUvarint(s.buf, uint64(len(part))), part...)
	}
	if len(s.buf) < memberBytes {
		return nil
	}
	return s.flush()
}

func (s *snapshotWriter) flush() error {
	_, _ = s.sum.Write(s.buf) // never fails
	err := s.put(fmt.Sprintf(stateFormat, s.member), s.buf)
	s.member++
	s.buf = s.buf[:0]
	return err
}

// finish writes the sums.
func (s *snapshotWriter) finish(key [32]byte) error {
	if err := s.flush(); err != nil {
		return err
	}
	sum := s.sum.Sum(nil)
	if err := s.put(sumMember, []byte(hex.EncodeToString(sum)+"\n")); err != nil {
		return err
	}
	if err := s.put(sealedMember, []byte(hex.EncodeToString(sealSum(key, sum))+"\n")); err != nil {
		return err
	}
	if err := s.tar.Close(); err != nil {
		return err
	}
	return s.zip.Close()
}

func sealSum(key [32]byte, sum []byte) []byte {
	mac := hmac.New(sha256.New, key[:])
	_, _ = mac.Write(sum) // never fails
	return mac.Sum(nil)
}

// snapshotReader reads a snapshot. Nothing that it returns may be acted on before verify.
type snapshotReader struct {
	tar    *tar.Reader
	zip    *gzip.Reader
	sum    hash.Hash
	meta   SnapshotMeta
	member int
	// state holds what is read of the pairs and not yet returned.
	state bytes.Buffer
	// next is the member after the state, once that has ended.
	next *tar.Header
}

// bad makes an error of a snapshot's own.
func bad(why string, err error) error {
	if err == nil {
		return fmt.Errorf("%w: %s", ErrBadSnapshot, why)
	}
	return fmt.Errorf("%w: %s: %w", ErrBadSnapshot, why, err)
}

func newSnapshotReader(r io.Reader) (*snapshotReader, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return nil, bad("it is not compressed", err)
	}
	s := &snapshotReader{zip: zip, tar: tar.NewReader(zip), sum: sha256.New()}
	head, err := s.tar.Next()
	if err != nil || head.Name != metaMember {
		return nil, bad("it has no meta.json", err)
	}
	encoded, err := s.whole(head)
	if err != nil {
		return nil, err
	}
	_, _ = s.sum.Write(encoded) // never fails
	if err := json.Unmarshal(encoded, &s.meta); err != nil {
		return nil, bad("its meta.json cannot be read", nil)
	}
	if s.meta.Format != snapshotFormat {
		return nil, bad(fmt.Sprintf("its format is %d, and this server reads %d", s.meta.Format, snapshotFormat), nil)
	}
	return s, nil
}

// whole reads a small member.
func (s *snapshotReader) whole(head *tar.Header) ([]byte, error) {
	if head.Size > memberBytes {
		return nil, bad(head.Name+" is too large", nil)
	}
	data, err := io.ReadAll(s.tar)
	if err != nil {
		return nil, bad("it is cut short", err)
	}
	return data, nil
}

// fill reads the next member of the state; io.EOF after the last.
func (s *snapshotReader) fill() error {
	if s.next != nil {
		return io.EOF
	}
	head, err := s.tar.Next()
	if err != nil {
		return bad("it is cut short", err)
	}
	if head.Name != fmt.Sprintf(stateFormat, s.member) {
		s.next = head
		return io.EOF
	}
	s.member++
	if _, err := io.Copy(io.MultiWriter(&s.state, s.sum), s.tar); err != nil {
		return bad("it is cut short", err)
	}
	return nil
}

// pair returns the next pair; io.EOF after the last. Both are valid until the next call.
func (s *snapshotReader) pair() (key, value []byte, err error) {
	for s.state.Len() == 0 {
		if err := s.fill(); err != nil {
			return nil, nil, err
		}
	}
	// The first Next may drop what a later growth of the buffer would move.
	if key, err = s.part(); err != nil {
		return nil, nil, err
	}
	key = bytes.Clone(key)
	value, err = s.part()
	return key, value, err
}

func (s *snapshotReader) part() ([]byte, error) {
	for {
		size, n := binary.Uvarint(s.state.Bytes())
		switch {
		case n < 0 || size > maxPairBytes:
			return nil, bad("its state is malformed", nil)
		case n > 0 && uint64(s.state.Len()-n) >= size:
			s.state.Next(n)
			return s.state.Next(int(size)), nil
		}
		err := s.fill()
		if errors.Is(err, io.EOF) {
			return nil, bad("its state ends within a record", nil)
		}
		if err != nil {
			return nil, err
		}
	}
}

// verify checks the sums, and that nothing follows. REQUIRES: pair has returned io.EOF. sealed
// says whether the sum was sealed under key.
func (s *snapshotReader) verify(key [32]byte) (sealed bool, err error) {
	sum := s.sum.Sum(nil)
	said, err := s.hexMember(s.next, sumMember)
	if err != nil {
		return false, err
	}
	if !hmac.Equal(said, sum) {
		return false, bad("its checksum is wrong", nil)
	}
	head, err := s.tar.Next()
	if err != nil {
		return false, bad("it is cut short", err)
	}
	mac, err := s.hexMember(head, sealedMember)
	if err != nil {
		return false, err
	}
	if _, err := s.tar.Next(); !errors.Is(err, io.EOF) {
		return false, bad("something follows its end", err)
	}
	// To the end, where gzip keeps a checksum of its own.
	if _, err := io.Copy(io.Discard, s.zip); err != nil {
		return false, bad("it is cut short", err)
	}
	return hmac.Equal(mac, sealSum(key, sum)), nil
}

func (s *snapshotReader) hexMember(head *tar.Header, name string) ([]byte, error) {
	if head == nil || head.Name != name {
		return nil, bad("it has no "+name, nil)
	}
	text, err := s.whole(head)
	if err != nil {
		return nil, err
	}
	data, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		return nil, bad(name+" cannot be read", nil)
	}
	return data, nil
}
