package walletrpc

import (
	"encoding/json"
	"errors"
	"math"
	"time"

	"lode/rpc"
	"lode/wallet"
	"lode/wallet/descriptor"
)

const (
	maxImports  = 1000      // descriptors in one call
	maxRange    = 1_000_000 // keys, as in Bitcoin Core
	timeWindow  = 2 * 60 * 60
	maxKeyIndex = math.MaxInt32
)

// importResult is what became of one descriptor.
type importResult struct {
	Success  bool       `json:"success"`
	Warnings []string   `json:"warnings,omitempty"`
	Error    *rpc.Error `json:"error,omitempty"`
}

// importRequest is one descriptor that is to be imported.
type importRequest struct {
	*rpc.Args
	timestamp int64
}

// The members of a request.
const (
	impDesc = iota
	impActive
	impRange
	impNext
	impTimestamp
	impInternal
	impLabel
)

func importDescriptors(c *call) (any, error) {
	list := c.a.List(0)
	switch {
	case c.a.Err() != nil:
		return nil, c.a.Err()
	case len(list) > maxImports:
		return nil, fail(codeParameter, "at most %d descriptors can be imported at once", maxImports)
	case c.o.scanning() != nil:
		return nil, fail(codeWallet, "Wallet is currently rescanning. Abort existing rescan or wait.")
	case c.o.isLocked():
		return nil, errLocked
	}
	tip := c.m.cfg.Chain.Tip()
	now := int64(tip.MedianTime())
	var requests []importRequest
	for _, raw := range list {
		r, err := readImport(raw, now)
		if err != nil {
			return nil, err
		}
		requests = append(requests, r)
	}
	if err := c.w.Save(); err != nil {
		return nil, err
	}
	results, oldest := []importResult{}, int64(math.MaxInt64)
	for _, r := range requests {
		warnings, err := c.importOne(&r)
		if gone := c.ctx.Err(); gone != nil { // nobody waits for an answer: what was not saved is not imported
			return nil, errors.Join(gone, c.w.Revert())
		}
		result := importResult{Success: err == nil, Warnings: warnings}
		if err != nil {
			failure, ok := errors.AsType[*rpc.Error](err)
			if !ok {
				failure = &rpc.Error{Code: codeWallet, Message: err.Error()}
			}
			result.Error = failure
		} else {
			oldest = min(oldest, r.timestamp)
		}
		results = append(results, result)
	}
	if err := c.w.Save(); err != nil || oldest == math.MaxInt64 {
		return results, err
	}
	if from, ok := c.m.cfg.Chain.FirstSince(uint32(min(max(oldest-timeWindow, 0), math.MaxUint32))); ok {
		if err := c.rescan(from); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// readImport reads a request. An error in its time is one of the whole call.
func readImport(raw json.RawMessage, now int64) (r importRequest, err error) {
	r.Args = rpc.ObjectArgs(raw, "desc", "active", "range", "next_index", "timestamp", "internal", "label")
	switch t := r.Type(impTimestamp); {
	case r.Err() != nil:
		return r, r.Err()
	case t == "number":
		r.timestamp = max(r.Integer(impTimestamp, 0, math.MinInt64, math.MaxInt64), 1)
		return r, r.Err()
	case t == "string" && string(r.Raw(impTimestamp)) == `"now"`:
		r.timestamp = now
		return r, nil
	case r.Absent(impTimestamp):
		return r, fail(codeType, "Missing required timestamp field for key")
	default:
		return r, fail(codeType, "Expected number or \"now\" timestamp value for key. got type %s", t)
	}
}

// importOne imports a descriptor.
func (c *call) importOne(r *importRequest) (warnings []string, err error) {
	if r.Absent(impDesc) {
		return nil, fail(codeParameter, "Descriptor not found.")
	}
	text, active, internal, label := r.Text(impDesc, ""), r.Flag(impActive, false), r.Flag(impInternal, false), labelOf(r.Args, impLabel)
	if err := r.Err(); err != nil {
		return nil, err
	}
	d, err := descriptor.ParseChecked(text, descriptor.NetworkOf(c.m.cfg.Spec))
	if err == nil {
		err = d.Usable()
	}
	if err != nil {
		return nil, fail(codeAddress, "%v", err)
	}
	if err := checkImport(r, d, active, label); err != nil {
		return nil, err
	}
	o := wallet.ImportOptions{Descriptor: d, Active: active, Internal: internal, Label: label, Created: time.Unix(r.timestamp, 0), Fresh: true}
	if d.IsRange() {
		if warnings, err = readRange(r, &o); err != nil {
			return nil, err
		}
		if m, shared, err := d.Expand()[0].MuSig(0); err == nil && shared && int64(o.Least) > maxRange/int64(len(m.Participants)) {
			return nil, fail(codeParameter, "Range is too large: each key is made of %d", len(m.Participants)) // the wallet is busy as long
		}
	}
	return warnings, c.importInto(d, o)
}

// importInto adds a descriptor to the wallet, and its private keys to the secret.
func (c *call) importInto(d *descriptor.Descriptor, o wallet.ImportOptions) (err error) {
	switch private := d.IsPrivate(); {
	case private && c.w.WatchOnly():
		return fail(codeWallet, "Cannot import private keys to a wallet with private keys disabled")
	case !private && !c.w.WatchOnly():
		return fail(codeWallet, "Cannot import descriptor without private keys to a wallet with private keys enabled")
	case private:
		if err := c.w.Save(); err != nil {
			return err
		}
		err = c.o.changeSecret(func(s *wallet.Secret) error {
			o.Secret = s
			return c.w.Import(c.ctx, o)
		})
		if err != nil { // no address may be given out whose private key is nowhere
			if undo := c.w.Revert(); undo != nil {
				return undo
			}
		}
	default:
		err = c.w.Import(c.ctx, o)
	}
	if errors.Is(err, wallet.ErrImport) {
		return fail(codeWallet, "Could not add descriptor '%s': %v", d.Public(), err)
	}
	return err
}

// checkImport finds what contradicts each other in a request.
func checkImport(r *importRequest, d *descriptor.Descriptor, active bool, label string) error {
	switch {
	case d.Multipath() > 1 && !r.Absent(impInternal):
		return fail(codeAddress, "Cannot have multipath descriptor while also specifying 'internal'")
	case !d.IsRange() && !r.Absent(impRange):
		return fail(codeParameter, "Range should not be specified for an un-ranged descriptor")
	case active && !d.IsRange():
		return fail(codeParameter, "Active descriptors must be ranged")
	case d.Multipath() > 1 && !r.Absent(impLabel):
		return fail(codeParameter, "Multipath descriptors should not have a label")
	case d.IsRange() && !r.Absent(impLabel):
		return fail(codeParameter, "Ranged descriptors should not have a label")
	case r.Flag(impInternal, false) && !r.Absent(impLabel):
		return fail(codeParameter, "Internal addresses should not have a label")
	}
	return nil
}

// readRange reads which keys count in any case, and the first that is to be handed
// out. Keys before the range count too: a wallet looks for all from 0 on.
func readRange(r *importRequest, o *wallet.ImportOptions) (warnings []string, err error) {
	first, end := int64(0), int64(keypoolSize)
	switch t := r.Type(impRange); t {
	case "null":
		warnings = append(warnings, "Range not given, using default keypool range")
	case "number":
		end = r.Integer(impRange, 0, math.MinInt64, math.MaxInt64) + 1
	case "array":
		var list []int64
		if err := json.Unmarshal(r.Raw(impRange), &list); err != nil || len(list) != 2 {
			return nil, fail(codeParameter, "Range must have exactly two elements")
		}
		if first, end = list[0], list[1]+1; first > list[1] {
			return nil, fail(codeParameter, "Range specified as [begin,end] must not have begin after end")
		}
	default:
		return nil, fail(codeParameter, "Range must be specified as end or as [begin,end]")
	}
	switch {
	case r.Err() != nil:
		return nil, r.Err()
	case first < 0 || end <= 0:
		return nil, fail(codeParameter, "Range should be greater or equal than 0")
	case end > maxKeyIndex:
		return nil, fail(codeParameter, "End of range is too high")
	case end > first+maxRange || end > maxRange:
		return nil, fail(codeParameter, "Range is too large")
	}
	next := r.Integer(impNext, first, math.MinInt64, math.MaxInt64)
	if err := r.Err(); err != nil {
		return nil, err
	}
	if !r.Absent(impNext) && (next < first || next >= end) {
		return nil, fail(codeParameter, "next_index is out of range")
	}
	o.Least, o.Next = uint32(end), uint32(next)
	return warnings, nil
}

// changeSecret has f change the secret, and keeps what it has become on disk.
func (o *open) changeSecret(f func(*wallet.Secret) error) error {
	o.mu.Lock()
	held := o.secret
	o.mu.Unlock()
	if held == nil {
		return errLocked
	}
	err := held.Change(o.files, o.m.cfg.WorkFactor, f)
	if errors.Is(err, wallet.ErrClosed) {
		return errLocked
	}
	return err
}
