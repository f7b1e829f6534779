package p2p

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strconv"
)

// The address book has two tables of buckets, as Bitcoin Core's has (addrman.h),
// with fewer buckets in the same proportions. In which bucket and where in it an
// address belongs is fixed by a secret key, so that nobody can aim at a place.
//
// The new table holds what was heard of. The bucket depends on who told: those in
// one network group, however many, reach a sixteenth of the table. The tried table
// holds what has answered. The bucket depends on the address: one network group
// has a thirty-second of the table.
const (
	newBuckets   = 256
	triedBuckets = 64
	bucketSize   = 32
	// newPerSource and triedPerGroup are how many buckets a network group has.
	newPerSource  = 16
	triedPerGroup = 2
	// nameGroups is how many groups all host names are in together: a name
	// costs less than a network, so names have a quarter of the tried table.
	nameGroups = 8
	// choices is how many places of a bucket an address may take.
	choices = 4
	// maxPlaces is in how many buckets of the new table an address may be that
	// several sources told of.
	maxPlaces = 4
	// maxBook is how many addresses there can be.
	maxBook = (newBuckets + triedBuckets) * bucketSize
)

// bookKey is what makes one book order addresses differently from any other.
type bookKey [32]byte

// hash is a number below limit that only who knows the key can foretell.
func (k *bookKey) hash(limit int, parts ...string) int {
	b := k[:]
	for _, part := range parts {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return int(binary.LittleEndian.Uint64(sum[:]) % uint64(limit))
}

// group is the network group of a URL.
func (k *bookKey) group(url string) string {
	ip, name := hostInURL(url)
	if ip.IsValid() {
		return netGroup(ip)
	}
	return "name " + strconv.Itoa(k.hash(nameGroups, "name", domain(name)))
}

// newPlaces are where an address may lie in the new table that a source told of:
// places in one bucket, the first to be preferred. In the small book of a small
// network hardly two addresses are then in each other's way.
func (k *bookKey) newPlaces(a *address, source string) (places [choices]int) {
	one := strconv.Itoa(k.hash(newPerSource, "new", a.spread, source))
	bucket := k.hash(newBuckets, "new bucket", source, one)
	for i := range places {
		places[i] = k.place("new"+strconv.Itoa(i), bucket, a)
	}
	return places
}

// triedPlace is where an address belongs in the tried table.
func (k *bookKey) triedPlace(a *address) int {
	one := strconv.Itoa(k.hash(triedPerGroup, "tried", a.URL))
	return k.place("tried", k.hash(triedBuckets, "tried bucket", a.group, one), a)
}

func (k *bookKey) place(table string, bucket int, a *address) int {
	return bucket*bucketSize + k.hash(bucketSize, table+" place", strconv.Itoa(bucket), a.URL)
}

// table is a number of buckets, one after the other; places are nil while empty.
type table []*address

// pick chooses an address for which ok holds: each bucket that has one is as
// likely as any other, however full it is, or else who fills his buckets would
// be chosen more often than others.
func (t table) pick(ok func(*address) bool) (chosen *address) {
	buckets := 0
	for bucket := range slices.Chunk(t, bucketSize) {
		var one *address
		candidates := 0
		for _, a := range bucket {
			if a != nil && ok(a) {
				if candidates++; rand.IntN(candidates) == 0 {
					one = a
				}
			}
		}
		if one != nil {
			if buckets++; rand.IntN(buckets) == 0 {
				chosen = one
			}
		}
	}
	return chosen
}
