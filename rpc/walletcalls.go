package rpc

import (
	"context"
	"encoding/json"
	"strings"

	"lode/consensus"
	"lode/rpc/code"
	"lode/rpc/manual"
)

// Wallets answers Bitcoin Core's calls to wallets; package walletrpc does. The
// server reads requests and arguments for it and knows nothing of keys.
type Wallets interface {
	// Calls are functions by the names of their methods, which package manual
	// describes.
	Calls() map[string]WalletCall
}

// WalletCall answers a call to a wallet, or about wallets.
type WalletCall func(ctx context.Context, at WalletPath, a *Args) (any, error)

// WalletPath is what the path of a request says of the wallet that is meant.
type WalletPath struct {
	Name  string // as it is in the path /wallet/NAME
	Named bool   // the path is not /
}

type walletPathKey struct{}

// walletCalls are the calls that a server without wallets does not have.
func (s *Server) walletCalls() calls {
	list := make(calls)
	if s.cfg.Wallets == nil {
		return list
	}
	for name, call := range s.cfg.Wallets.Calls() {
		list[name] = func(ctx context.Context, p *params) (any, error) {
			at, _ := ctx.Value(walletPathKey{}).(WalletPath)
			return call(ctx, at, &Args{p})
		}
	}
	return list
}

// noMethod is the error for a call that there is not. Those to wallets say how to
// have them.
func (s *Server) noMethod(name string, at WalletPath) *Error {
	if s.cfg.Wallets == nil && walletMethods[name] {
		const why = ": this node serves no wallets; start it with --wallet-rpc, or use `lode wallet`"
		if at.Named && at.Name != "" {
			return &Error{code.NoWallet, "Requested wallet does not exist or is not loaded" + why}
		}
		return &Error{codeNoMethod, "Method not found" + why}
	}
	if name == "generate" {
		return &Error{codeNoMethod, generateIsGone}
	}
	return &Error{codeNoMethod, "Method not found"}
}

// walletMethods are Bitcoin Core's calls to wallets and about them.
var walletMethods = func() map[string]bool {
	names := make(map[string]bool)
	for name := range strings.FieldsSeq(`abandontransaction abortrescan addmultisigaddress backupwallet bumpfee createwallet
		createwalletdescriptor encryptwallet fundrawtransaction getaddressesbylabel getaddressinfo getbalance getbalances gethdkeys
		getnewaddress getrawchangeaddress getreceivedbyaddress getreceivedbylabel gettransaction getwalletinfo importdescriptors
		importprunedfunds keypoolrefill listaddressgroupings listdescriptors listlabels listlockunspent listreceivedbyaddress
		listreceivedbylabel listsinceblock listtransactions listunspent listwalletdir listwallets loadwallet lockunspent
		migratewallet psbtbumpfee removeprunedfunds rescanblockchain restorewallet send sendall sendmany sendtoaddress setlabel
		setwalletflag signmessage signrawtransactionwithwallet simulaterawtransaction unloadwallet upgradewallet
		walletcreatefundedpsbt walletdisplayaddress walletlock walletpassphrase walletpassphrasechange walletprocesspsbt`) {
		names[name] = true
	}
	return names
}()

// Args are the arguments of a call to a wallet, in the order of the names of its
// method. The first error sticks, so that a call reads all it wants and then asks
// for Err once. An argument that must be there and is null is an error.
type Args struct{ p *params }

// Err is the first error.
func (a *Args) Err() error { return a.p.err }

// Fail notes an error, unless there is one.
func (a *Args) Fail(err error) { a.p.fail(err) }

// Absent reports whether argument i is missing or null.
func (a *Args) Absent(i int) bool { return a.p.absent(i) }

// Raw is argument i as it was given; empty if it is not there.
func (a *Args) Raw(i int) json.RawMessage { return a.p.values[i] }

// Set replaces argument i.
func (a *Args) Set(i int, raw json.RawMessage) { a.p.values[i] = raw }

// Type names the type of argument i in JSON, "null" if it is not there.
func (a *Args) Type(i int) string { return jsonType(a.p.values[i]) }

// Text reads a string.
func (a *Args) Text(i int, otherwise string) string { return a.p.text(i, otherwise) }

// Flag reads a bool.
func (a *Args) Flag(i int, otherwise bool) bool { return a.p.flag(i, otherwise) }

// Integer reads a number without a fraction between least and most.
func (a *Args) Integer(i int, otherwise, least, most int64) int64 {
	return a.p.integer(i, otherwise, least, most)
}

// Hash reads a hash, which is called name in errors.
func (a *Args) Hash(i int, name string) consensus.Hash { return a.p.hash(i, name) }

// Amount reads coins, between 0 and most; the result is in sat.
func (a *Args) Amount(i int, otherwise, most consensus.Amount) consensus.Amount {
	return a.p.amount(i, otherwise, most)
}

// FeeRate reads a rate in sat/vB with up to three decimal places. The result is in
// sat per 1,000 vB.
func (a *Args) FeeRate(i int) int64 {
	const places = 5 // fewer than coins have
	text := strings.Trim(strings.TrimSpace(string(a.p.values[i])), `"`)
	if t := jsonType(a.p.values[i]); t != "number" && t != "string" {
		a.p.fail(fail(codeType, "Amount is not a number or string"))
		return 0
	}
	coins, ok := parseCoins(text)
	unit := consensus.Amount(1)
	for range places {
		unit *= 10
	}
	switch {
	case !ok || coins%unit != 0:
		a.p.fail(fail(codeType, "Invalid amount"))
	case coins < 0 || coins > maxMoney:
		a.p.fail(fail(codeType, "Amount out of range"))
	}
	return int64(coins / unit)
}

// maxMoney is what Bitcoin Core takes for an amount at most, whatever it means.
const maxMoney = 21_000_000 * consensus.SatPerCoin

// Tx reads a transaction in hex; failure is the error for one that is malformed.
func (a *Args) Tx(i int, failure string) *consensus.Tx { return a.p.tx(i, failure) }

// List reads an array.
func (a *Args) List(i int) []json.RawMessage { return a.p.list(i) }

// Texts reads an array of strings.
func (a *Args) Texts(i int) []string { return a.p.texts(i) }

// Object reads an object with these members and no others, as the arguments of a
// call by name: member names[k] is argument k. Absent, all of them are.
func (a *Args) Object(i int, names ...string) *Args {
	if !a.p.given(i, "object") {
		return &Args{newObject(names)}
	}
	if jsonType(a.p.values[i]) != "object" {
		a.p.wrongType(i, "object")
		return &Args{newObject(names)}
	}
	return ObjectArgs(a.p.values[i], names...)
}

// ObjectArgs reads an object as Args.Object does. A member of another name is an
// error.
func ObjectArgs(raw json.RawMessage, names ...string) *Args {
	p := newObject(names)
	if t := jsonType(raw); t != "object" {
		p.fail(fail(codeType, "JSON value of type %s is not of expected type object", t))
		return &Args{p}
	}
	_ = eachMember(raw, func(name string, value json.RawMessage) error {
		for k := range names {
			if names[k] == name {
				if p.values[k] == nil {
					p.values[k] = value
				}
				return nil
			}
		}
		p.fail(fail(codeType, "Unexpected key %.80s", name))
		return nil
	})
	return &Args{p}
}

// SingleArg is one value that must be there, as the argument of a call.
func SingleArg(name string, value json.RawMessage) *Args { return &Args{single(name, value)} }

// TextArgs are so many arguments, of which all but the first may be missing.
func TextArgs(first json.RawMessage, count int) *Args {
	p := newObject(make([]string, count))
	p.values[0] = first
	return &Args{p}
}

func newObject(names []string) *params {
	p := &params{values: make([]json.RawMessage, len(names)), member: true}
	for _, name := range names {
		p.params = append(p.params, &manual.Node{Name: name, Optional: true})
	}
	return p
}

// Members gives the members of an object in their order, as far as f wants.
func Members(raw json.RawMessage, f func(name string, value json.RawMessage) error) error {
	return eachMember(raw, f)
}

// JSONType names the type of a JSON value as Bitcoin Core does.
func JSONType(raw json.RawMessage) string { return jsonType(raw) }

// Coins is an amount in sat that JSON shows in coins, a number with eight decimal
// places.
type Coins = coins

// Failure is an error with a code of Bitcoin Core's.
func Failure(code int, format string, args ...any) error { return fail(code, format, args...) }
