package actors

import (
	"hash/maphash"
	"math/bits"
)

// keyTable finds the rows of a file that a later row with the same key
// supersedes, in far less memory than the keys take.
//
// While the file is scanned, add is told every valid row's key. The first
// time, the key only leaves marks in a bit table. From the second time on it
// has an entry: a 128-bit hash and the ordinal of its last row. In the write
// pass a row is kept if its key has no entry (it came once) or if the entry
// holds the row's own ordinal.
//
// A key that finds its marks already made by others gets an entry too early.
// That costs 20 bytes and decides nothing: the entry holds the key's last row
// whichever way it came to be. Two keys would have to agree in 128 bits to be
// taken for one; the hash is seeded afresh for each table, so nobody can make
// a file with such keys.
//
// What cannot be known from the scan alone is whether an entry began with
// false marks. repeats counts it as a repeat, so until the write pass has
// counted the rows it drops, the number may be too high. Measured: by nothing
// or 1 for 1 million keys, by 66 for 5 million, by 3,400 for 10 million.
//
// Memory: up to 18 MiB of bits, released after the scan, and 23 to 29 bytes
// for every key that comes more than once; 34 MB for 10 million rows of which
// one in 20 repeats a key.
type keyTable struct {
	seeds   [2]maphash.Seed
	filters []bitTable
	adds    int // keys that made new marks in the newest filter
	shards  [256]keyShard
	entries int
	repeats int64 // rows that found their key already there
}

// keyHash is what stands for a key.
type keyHash struct{ hi, lo uint64 }

func newKeyTable() *keyTable {
	return &keyTable{
		seeds:   [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		filters: []bitTable{newBitTable(filterBits[0])},
	}
}

// filterBits are the sizes of the filters: 128 KiB, 2 MiB and 16 MiB, so that
// a small file takes little. One that has its share of keys is full, and the
// next is begun; it stays in use, for the keys it knows are in no other.
var filterBits = [...]int{1 << 20, 1 << 24, 1 << 27}

// filterShare is the bits for each key of a filter that is full: so many that
// the smaller filters add next to no false marks.
const filterShare = 128

func (t *keyTable) hash(key string) keyHash {
	return keyHash{maphash.String(t.seeds[0], key), maphash.String(t.seeds[1], key)}
}

// add notes that the row with this ordinal is the last one of key so far.
func (t *keyTable) add(key string, ordinal uint32) {
	h := t.hash(key)
	if !t.marked(h) {
		return
	}
	t.repeats++
	if t.shards[h.shard()].put(h, ordinal) {
		t.entries++
	}
}

// keeps reports whether no later row than this one has the key.
func (t *keyTable) keeps(key string, ordinal uint32) bool {
	if t.entries == 0 {
		return true
	}
	h := t.hash(key)
	last, ok := t.shards[h.shard()].get(h)
	return !ok || last == ordinal
}

// seal ends the scan: no add may follow.
func (t *keyTable) seal() { t.filters = nil }

// marked reports whether h's marks are in one of the filters, and makes them
// if not.
func (t *keyTable) marked(h keyHash) bool {
	newest := len(t.filters) - 1
	for _, f := range t.filters[:newest] {
		if f.has(h) {
			return true
		}
	}
	if t.filters[newest].mark(h) {
		return true
	}
	if t.adds++; newest+1 < len(filterBits) && t.adds == filterBits[newest]/filterShare {
		t.filters, t.adds = append(t.filters, newBitTable(filterBits[newest+1])), 0
	}
	return false
}

// bitTable is a Bloom filter whose marks for one key lie within one cache
// line, so that a look-up costs one miss.
type bitTable [][8]uint64

const marksPerKey = 6

func newBitTable(size int) bitTable { return make(bitTable, size/512) }

func (b bitTable) mark(h keyHash) (already bool) {
	line := &b[h.hi%uint64(len(b))]
	already = true
	for i := range marksPerKey {
		p := h.lo >> (9 * i) & 511
		if line[p>>6]&(1<<(p&63)) == 0 {
			already = false
			line[p>>6] |= 1 << (p & 63)
		}
	}
	return already
}

func (b bitTable) has(h keyHash) bool {
	line := &b[h.hi%uint64(len(b))]
	for i := range marksPerKey {
		p := h.lo >> (9 * i) & 511
		if line[p>>6]&(1<<(p&63)) == 0 {
			return false
		}
	}
	return true
}

func (h keyHash) shard() int { return int(h.hi >> 56) }

// keyShard is a part of the entries: open addressing with linear probing. It
// grows by a quarter, and the shards one at a time, so that the table is
// never twice in memory.
type keyShard struct {
	slots []keySlot
	used  int
}

// keySlot takes 20 bytes; with uint64 fields it would be 24.
type keySlot struct {
	hash [4]uint32
	next uint32 // ordinal + 1; 0 is an empty slot
}

func (h keyHash) words() [4]uint32 {
	return [4]uint32{uint32(h.hi >> 32), uint32(h.hi), uint32(h.lo >> 32), uint32(h.lo)}
}

// put reports whether h is new.
func (s *keyShard) put(h keyHash, ordinal uint32) bool {
	if s.used >= len(s.slots)*7/8 {
		s.grow()
	}
	w := h.words()
	slot := s.find(w)
	isNew := slot.next == 0
	if isNew {
		s.used++
	}
	*slot = keySlot{w, ordinal + 1}
	return isNew
}

func (s *keyShard) get(h keyHash) (ordinal uint32, ok bool) {
	if s.used == 0 {
		return 0, false
	}
	slot := s.find(h.words())
	return slot.next - 1, slot.next != 0
}

// find returns the slot of w, or the empty one where it belongs.
func (s *keyShard) find(w [4]uint32) *keySlot {
	// The top byte of w chose the shard; the lower words are still even.
	at, _ := bits.Mul64(uint64(w[2])<<32|uint64(w[3]), uint64(len(s.slots)))
	for i := int(at); ; {
		slot := &s.slots[i]
		if slot.next == 0 || slot.hash == w {
			return slot
		}
		if i++; i == len(s.slots) {
			i = 0
		}
	}
}

func (s *keyShard) grow() {
	old := s.slots
	s.slots = make([]keySlot, max(16, len(old)+len(old)/4))
	for _, o := range old {
		if o.next != 0 {
			*s.find(o.hash) = o
		}
	}
}
