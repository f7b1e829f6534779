package walletrpc

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"lode/consensus"
	"lode/rpc"
	"lode/wallet"
)

// stateCalls are the calls about one wallet and its coins.
func (m *Manager) stateCalls() calls {
	return calls{
		"getwalletinfo":    m.asIs(getWalletInfo),
		"getbalance":       m.on(getBalance),
		"getbalances":      m.on(getBalances),
		"listunspent":      m.on(listUnspent),
		"lockunspent":      m.on(lockUnspent),
		"listlockunspent":  m.on(listLockUnspent),
		"rescanblockchain": m.on(rescanBlockchain),
		"abortrescan":      m.abortRescan,
		"keypoolrefill":    m.asIs(keypoolRefill),
	}
}

func getWalletInfo(c *call) (any, error) {
	if c.o.scanning() == nil {
		if err := c.o.fresh(c.ctx); err != nil {
			return nil, err
		}
	}
	type scanJSON struct {
		Duration int64   `json:"duration"`
		Progress float64 `json:"progress"`
	}
	info := struct {
		Name      string    `json:"walletname"`
		Version   int       `json:"walletversion"`
		Format    string    `json:"format"`
		TxCount   int       `json:"txcount"`
		Pool      uint32    `json:"keypoolsize"`
		PoolInner uint32    `json:"keypoolsize_hd_internal"`
		Until     *int64    `json:"unlocked_until,omitempty"`
		PayTxFee  coins     `json:"paytxfee"`
		Private   bool      `json:"private_keys_enabled"`
		Reuse     bool      `json:"avoid_reuse"`
		Scanning  any       `json:"scanning"`
		Descs     bool      `json:"descriptors"`
		External  bool      `json:"external_signer"`
		Blank     bool      `json:"blank"`
		Birth     int64     `json:"birthtime,omitempty"`
		Flags     []string  `json:"flags"`
		LastBlock blockJSON `json:"lastprocessedblock"`
	}{
		Name: c.o.name, Version: 169900, Format: "lode", TxCount: len(c.w.Transactions()), Private: !c.w.WatchOnly(), Scanning: false,
		Descs: true, Flags: []string{}, LastBlock: c.lastBlock(),
	}
	views := c.w.Descriptors()
	info.Blank = len(views) == 0
	for _, d := range views {
		if !d.Active {
			continue
		}
		if d.Internal {
			info.PoolInner += d.End - min(d.Next, d.End)
		} else {
			info.Pool += d.End - min(d.Next, d.End)
		}
	}
	if until, encrypted := c.o.unlockedUntil(); encrypted {
		seconds := int64(0)
		if !until.IsZero() {
			seconds = until.Unix()
		}
		info.Until = &seconds
	}
	if s := c.o.scanning(); s != nil {
		info.Scanning = scanJSON{int64(time.Since(s.started).Seconds()), s.progress}
	}
	if !info.Private {
		info.Flags = append(info.Flags, "disable_private_keys")
	}
	if info.Blank {
		info.Flags = append(info.Flags, "blank")
	}
	info.Flags = append(info.Flags, "descriptor_wallet")
	if h, ok := c.m.cfg.Chain.Header(c.w.WatchedSince().Hash); ok {
		info.Birth = int64(h.Header.Time)
	}
	return info, nil
}

// unlockedUntil is when the secret will be wiped, zero if it is not in memory.
func (o *open) unlockedUntil() (until time.Time, encrypted bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.until, !o.plain && !o.w.WatchOnly()
}

func getBalance(c *call) (any, error) {
	dummy, least, _, reuse := c.a.Text(0, "*"), integer32(c.a, 1, 0), c.a.Flag(2, false), c.a.Flag(3, false)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if dummy != "*" {
		return nil, fail(codeDeprecated, `dummy first argument must be excluded or set to "*".`)
	}
	if reuse {
		return nil, errNoReuse
	}
	var sum consensus.Amount
	for _, coin := range c.coins() {
		if coin.Mature && coin.Trusted && int64(coin.Confirmations) >= least {
			sum += coin.Value
		}
	}
	return coins(sum), nil
}

var errNoReuse = fail(codeWallet, `wallet does not have the "avoid reuse" feature enabled`)

func getBalances(c *call) (any, error) {
	type mine struct {
		Trusted  coins `json:"trusted"`
		Pending  coins `json:"untrusted_pending"`
		Immature coins `json:"immature"`
	}
	var b mine
	for _, coin := range c.coins() {
		switch {
		case !coin.Mature:
			b.Immature += coins(coin.Value)
		case coin.Trusted:
			b.Trusted += coins(coin.Value)
		default:
			b.Pending += coins(coin.Value)
		}
	}
	return struct {
		Mine      mine      `json:"mine"`
		LastBlock blockJSON `json:"lastprocessedblock"`
	}{b, c.lastBlock()}, nil
}

// coins are the coins of the wallet as Bitcoin Core counts them: those that are in a
// block or in the mempool. A payment that the mempool does not have spends its coins
// all the same, and its change is there again when it has.
func (c *call) coins() []wallet.Coin {
	return slices.DeleteFunc(c.w.Coins(), func(coin wallet.Coin) bool { return coin.Height == 0 && !c.pooled(coin.TxID) })
}

func (c *call) pooled(id consensus.Hash) bool {
	_, ok := c.m.cfg.Pool.ByTxID(id)
	return ok
}

func rescanBlockchain(c *call) (any, error) {
	from, to := integer32(c.a, 0, 0), integer32(c.a, 1, -1)
	_, tip := c.w.Scanned()
	switch {
	case c.a.Err() != nil:
		return nil, c.a.Err()
	case c.o.scanning() != nil:
		return nil, fail(codeWallet, "Wallet is currently rescanning. Abort existing rescan or wait.")
	case c.o.isLocked():
		return nil, errLocked
	case from < 0 || from > int64(tip.Height):
		return nil, fail(codeParameter, "Invalid start_height")
	case !c.a.Absent(1) && (to < 0 || to > int64(tip.Height)):
		return nil, fail(codeParameter, "Invalid stop_height")
	case !c.a.Absent(1) && to < from:
		return nil, fail(codeParameter, "stop_height must be greater than start_height")
	}
	if pruned := c.m.cfg.Chain.Pruning().Height; pruned > 0 && from < int64(pruned) {
		return nil, fail(codeMisc, "Can't rescan beyond pruned data. Use RPC call getblockchaininfo to determine your pruned height.")
	}
	if err := c.rescan(uint32(from)); err != nil {
		return nil, err
	}
	_, tip = c.w.Scanned()
	return struct {
		From int64  `json:"start_height"`
		To   uint32 `json:"stop_height"`
	}{from, tip.Height}, nil
}

// rescan looks at all blocks from a height on.
func (c *call) rescan(from uint32) error {
	aborted, err := c.o.work(c.ctx, true, from, func() {}, func(ctx context.Context, progress wallet.Progress) error {
		return c.w.Rescan(ctx, c.m.node, from, progress)
	})
	switch {
	case aborted:
		return fail(codeMisc, "Rescan aborted.")
	case errors.Is(err, context.Canceled):
		return err
	case err != nil:
		return fail(codeMisc, "Rescan failed: %v", err)
	}
	return nil
}

func (m *Manager) abortRescan(_ context.Context, at rpc.WalletPath, _ *rpc.Args) (any, error) {
	o, err := m.find(at)
	if err != nil {
		return nil, err
	}
	return o.abort(), nil
}

func keypoolRefill(c *call) (any, error) {
	size := integer32(c.a, 0, 0)
	switch {
	case c.a.Err() != nil:
		return nil, c.a.Err()
	case size < 0:
		return nil, fail(codeParameter, "Invalid parameter, expected valid size.")
	case c.o.isLocked():
		return nil, errLocked
	case size == 0:
		size = keypoolSize
	}
	err := wallet.ErrGap
	if size <= math.MaxInt32 {
		err = c.w.WidenGap(c.ctx, uint32(size))
	}
	if err != nil && c.ctx.Err() == nil {
		return nil, fail(codeWallet, "Error refreshing keypool.")
	}
	return nil, err
}
