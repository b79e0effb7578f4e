package audit

import (
	"crypto/sha256"
	"hash"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// format is how one device wants its lines. It does not change while the device is enabled.
type format struct {
	salt string
	// raw turns hashing off, but not elision.
	raw           bool
	hashAccessors bool
	// elideLists writes lengths for the members of lists. Contract: audit §7.
	elideLists bool
	// prefix goes before each line as it is.
	prefix string
}

// line is one formatted line and what it takes to make it. Lines are pooled per device, because
// the hash state is the device's: in the steady state an entry costs no allocation.
type line struct {
	format *format
	buf    []byte
	mac    hash.Hash
	sum    [sha256.Size]byte
	// text is scratch for a string on its way to the hash.
	text []byte
	// names is scratch for sorting a map's keys.
	names []string
	// asker is whose auth block the line has, and token and accessor are where their hashes
	// are: what follows mostly speaks of them again. [0,0] when there is none.
	asker           *Auth
	token, accessor [2]int
	// empty is the hash of an empty string, as JSON.
	empty []byte
	// shown are hashes, as JSON, of values that lines show in clear beside them: names of
	// policies, of tokens, of types. They are no secrets, and come again with every answer.
	shown map[string]string
	// common is where an entry's auth and request blocks are, the comma before them included.
	common [2]int
}

func newLine(f *format) *line {
	l := &line{format: f, mac: newMAC(f.salt), shown: make(map[string]string)}
	l.hashedBytes(nil)
	l.empty, l.buf = l.buf, nil
	return l
}

// The sizes up to which a line's buffers go back to the pool, in bytes: one request of many
// megabytes must not hold that memory for ever, and wiping must stay cheap.
const (
	keepLine = 256 << 10
	keepText = 8 << 10
)

// How many hashes a line remembers, and the longest value of which it does, in bytes.
const (
	keepShown  = 64
	shownBytes = 64
)

// reset makes the line empty but for the device's prefix.
func (l *line) reset() {
	l.asker, l.token, l.accessor = nil, [2]int{}, [2]int{}
	l.buf = append(l.buf[:0], l.format.prefix...)
}

// wipe clears the scratch buffers, which held texts of tokens and secrets, and says whether
// the line is small enough to be kept.
func (l *line) wipe() (keep bool) {
	if cap(l.buf) > keepLine || cap(l.text) > keepText {
		return false
	}
	l.asker = nil
	clear(l.text[:cap(l.text)])
	l.text = l.text[:0]
	clear(l.names[:cap(l.names)])
	l.names = l.names[:0]
	return true
}

// comma separates what follows from the member or element before it.
func (l *line) comma() {
	if last := l.buf[len(l.buf)-1]; last != '{' && last != '[' {
		l.buf = append(l.buf, ',')
	}
}

// key begins a member. name is a constant of this package and needs no escaping.
func (l *line) key(name string) {
	l.comma()
	buf := append(append(l.buf, '"'), name...)
	l.buf = append(buf, '"', ':')
}

// open begins a member that is an object; close ends it.
func (l *line) open(name string) {
	l.key(name)
	l.buf = append(l.buf, '{')
}

func (l *line) close() { l.buf = append(l.buf, '}') }

// str writes a member in clear unless it is empty.
func (l *line) str(name, value string) {
	if value != "" {
		l.key(name)
		l.buf = appendString(l.buf, value)
	}
}

func (l *line) num(name string, value int64) {
	if value != 0 {
		l.key(name)
		l.buf = strconv.AppendInt(l.buf, value, 10)
	}
}

func (l *line) seconds(name string, d time.Duration) { l.num(name, int64(d/time.Second)) }

func (l *line) flag(name string, value bool) {
	if value {
		l.key(name)
		l.buf = append(l.buf, "true"...)
	}
}

func (l *line) strs(name string, values []string) {
	if len(values) == 0 {
		return
	}
	l.key(name)
	l.buf = append(l.buf, '[')
	for _, v := range values {
		l.comma()
		l.buf = appendString(l.buf, v)
	}
	l.buf = append(l.buf, ']')
}

func (l *line) time(name string, t time.Time, layout string) {
	if t.IsZero() {
		return
	}
	l.key(name)
	l.buf = append(l.buf, '"')
	l.buf = t.UTC().AppendFormat(l.buf, layout)
	l.buf = append(l.buf, '"')
}

// secret writes a member hashed unless it is empty, and returns where its hash stands.
func (l *line) secret(name, value string) (at [2]int) {
	if value == "" {
		return at
	}
	l.key(name)
	at[0] = len(l.buf)
	l.hashed(value)
	at[1] = len(l.buf)
	return at
}

// accessorOf is secret for accessors, which the device may want in clear.
func (l *line) accessorOf(name, value string) (at [2]int) {
	if !l.format.hashAccessors {
		l.str(name, value)
		return at
	}
	return l.secret(name, value)
}

// hashed appends the hash of value as a JSON string, or value itself on a raw device.
func (l *line) hashed(value string) {
	if l.format.raw {
		l.buf = appendString(l.buf, value)
		return
	}
	l.text = append(l.text[:0], value...)
	l.hashedText()
}

// hashedText appends the hash of l.text.
func (l *line) hashedText() { l.hashedBytes(l.text) }

func (l *line) hashedBytes(value []byte) {
	if known := l.known(value); known != nil {
		l.buf = append(l.buf, known...)
		return
	}
	shows := l.shows(value)
	if shows {
		if known, ok := l.shown[string(value)]; ok {
			l.buf = append(l.buf, known...)
			return
		}
	}
	start := len(l.buf)
	l.buf = append(l.buf, '"')
	l.buf = appendHash(l.buf, l.mac, &l.sum, value)
	l.buf = append(l.buf, '"')
	if shows {
		if len(l.shown) == keepShown {
			clear(l.shown)
		}
		l.shown[string(value)] = string(l.buf[start:])
	}
}

// shows says whether the line has value in clear, in its auth block.
func (l *line) shows(value []byte) bool {
	a := l.asker
	return a != nil && len(value) <= shownBytes &&
		(string(value) == a.TokenType || string(value) == a.DisplayName || slices.Contains(a.Policies, string(value)))
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD, as
// encoding/json has it.
func appendString[T string | []byte](dst []byte, s T) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := plainLength(s); i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\t':
				dst = append(dst, '\\', 't')
			case '\r':
				dst = append(dst, '\\', 'r')
			default:
				dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			}
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[from:i]...)
			dst = append(dst, `\ufffd`...)
			i++
			from = i
			continue
		}
		i += size
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// plainLength is how many bytes at the start of s stand for themselves in a JSON string and are
// ASCII, in whole eights: nearly all strings are such bytes to the end.
func plainLength[T string | []byte](s T) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		const ones, highest = 0x0101010101010101, 0x8080808080808080
		quote, backslash := w^ones*'"', w^ones*'\\'
		// The highest bit of some byte is set where one is a control character, a quote, a
		// backslash, or beyond ASCII.
		if (w|(w-ones*' ')&^w|(quote-ones)&^quote|(backslash-ones)&^backslash)&highest != 0 {
			break
		}
	}
	return i
}
