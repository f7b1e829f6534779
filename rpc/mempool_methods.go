package rpc

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"lode/consensus"
	"lode/mempool"
	"lode/rpc/manual"
)

func (s *Server) mempoolCalls() calls {
	return calls{
		"getmempoolinfo":           s.getMempoolInfo,
		"getrawmempool":            s.getRawMempool,
		"getmempoolentry":          s.getMempoolEntry,
		"getmempoolancestors":      s.getMempoolAncestors,
		"getmempooldescendants":    s.getMempoolDescendants,
		"getmempoolcluster":        s.getMempoolCluster,
		"getmempoolfeeratediagram": s.getMempoolDiagram,
		"gettxspendingprevout":     s.getTxSpendingPrevOut,
		"scanmempool":              s.scanMempool,
		"importmempool":            s.importMempool,
		"estimaterawfee":           s.estimateRawFee,
		"getdescriptorinfo":        s.getDescriptorInfo,
		"deriveaddresses":          s.deriveAddresses,
		"decodescript":             s.decodeScript,
		"signmessagewithprivkey":   s.signMessageWithPrivKey,
		"verifymessage":            s.verifyMessage,
		"savemempool":              s.saveMempool,
		"submitpackage":            s.submitPackage,
		"estimatesmartfee":         s.estimateSmartFee,
		"validateaddress":          s.validateAddress,
	}
}

func (s *Server) getMempoolInfo(context.Context, *params) (any, error) {
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	st := pool.Stats()
	return struct {
		Loaded         bool  `json:"loaded"`
		Size           int   `json:"size"`
		Bytes          int   `json:"bytes"`
		Usage          int   `json:"usage"`
		TotalFee       coins `json:"total_fee"`
		Max            int   `json:"maxmempool"`
		MinFee         coins `json:"mempoolminfee"`
		MinRelay       coins `json:"minrelaytxfee"`
		Increment      coins `json:"incrementalrelayfee"`
		Unannounced    int   `json:"unbroadcastcount"`
		FullRBF        bool  `json:"fullrbf"`
		BareMultisig   bool  `json:"permitbaremultisig"`
		MaxDataCarrier int   `json:"maxdatacarriersize"`
		MaxCluster     int   `json:"limitclustercount"`
		MaxClusterSize int   `json:"limitclustersize"`
	}{
		st.Loaded, st.Count, st.VBytes, st.Memory, coins(st.Fees), st.Policy.MaxMemory, coins(st.MinFeeRate), coins(st.Policy.MinRelay),
		coins(st.Policy.Increment), len(s.cfg.Network.Unbroadcast()), true, false, st.Policy.MaxData, st.Policy.MaxCluster, st.Policy.MaxClusterSize,
	}, nil
}

func (s *Server) getRawMempool(_ context.Context, p *params) (any, error) {
	verbose, sequence := p.flag(0, false), p.flag(1, false)
	if p.err != nil {
		return nil, p.err
	}
	if verbose && sequence {
		return nil, fail(codeParameter, "Verbose results cannot contain mempool sequence values.")
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	if verbose {
		return s.infosJSON(pool.All(), true), nil
	}
	ids, changes := pool.TxIDs()
	if sequence {
		return struct {
			TxIDs    []consensus.Hash `json:"txids"`
			Sequence uint64           `json:"mempool_sequence"`
		}{ids, changes}, nil
	}
	return ids, nil
}

// infosJSON are ids, or descriptions by id.
func (s *Server) infosJSON(infos []mempool.Info, verbose bool) any {
	if verbose {
		entries, unbroadcast := make(map[string]any, len(infos)), s.cfg.Network.Unbroadcast()
		for i := range infos {
			entries[infos[i].TxID.String()] = entryJSON(&infos[i], unbroadcast[infos[i].TxID])
		}
		return entries
	}
	ids := make([]consensus.Hash, len(infos))
	for i := range infos {
		ids[i] = infos[i].TxID
	}
	return sorted(ids)
}

// errNotPooled is Bitcoin Core's.
var errNotPooled = fail(codeAddress, "Transaction not in mempool")

func (s *Server) getMempoolAncestors(_ context.Context, p *params) (any, error) {
	return s.relatives(p, (*mempool.Pool).Ancestors)
}

func (s *Server) getMempoolDescendants(_ context.Context, p *params) (any, error) {
	return s.relatives(p, (*mempool.Pool).Descendants)
}

func (s *Server) relatives(p *params, find func(*mempool.Pool, consensus.Hash) ([]mempool.Info, bool)) (any, error) {
	verbose, id := p.flag(1, false), p.hash(0, "txid")
	if p.err != nil {
		return nil, p.err
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	infos, ok := find(pool, id)
	if !ok {
		return nil, errNotPooled
	}
	return s.infosJSON(infos, verbose), nil
}

func (s *Server) getMempoolCluster(_ context.Context, p *params) (any, error) {
	id := p.hash(0, "parameter 1")
	if p.err != nil {
		return nil, p.err
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	type txJSON struct {
		TxID   consensus.Hash `json:"txid"`
		Fees   coins          `json:"chunkfee"`
		Weight int            `json:"chunkweight"`
	}
	infos, _ := pool.Cluster(id) // where there is none, Bitcoin Core says so by zeros
	weight, txs := 0, make([]txJSON, len(infos))
	for i := range infos {
		weight += infos[i].Weight
		txs[i] = txJSON{infos[i].TxID, coins(infos[i].Chunk.Fees), infos[i].ChunkWeight}
	}
	return struct {
		Weight int      `json:"weight"`
		Count  int      `json:"txcount"`
		Txs    []txJSON `json:"txs"`
	}{weight, len(txs), txs}, nil
}

func (s *Server) getMempoolDiagram(context.Context, *params) (any, error) {
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	type corner struct {
		Weight int   `json:"weight"`
		Fee    coins `json:"fee"`
	}
	var corners []corner
	for _, c := range pool.Diagram() {
		corners = append(corners, corner{c.Weight, coins(c.Fees)})
	}
	return corners, nil
}

func (s *Server) getTxSpendingPrevOut(_ context.Context, p *params) (any, error) {
	var list []json.RawMessage
	if p.into(0, &list, "array"); p.err != nil {
		return nil, p.err
	}
	if len(list) == 0 {
		return nil, fail(codeParameter, "Invalid parameter, outputs are missing")
	}
	outs := make([]consensus.OutPoint, len(list))
	for i := range list {
		var err error
		if outs[i], err = outPoint(list[i]); err != nil {
			return nil, err
		}
	}
	mempoolOnly, withTx := true, false
	o := p.options(1)
	o.flag("mempool_only", &mempoolOnly)
	o.flag("return_spending_tx", &withTx)
	if p.err != nil {
		return nil, p.err
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	type spentJSON struct {
		TxID  consensus.Hash  `json:"txid"`
		Index uint32          `json:"vout"`
		By    *consensus.Hash `json:"spendingtxid,omitempty"`
		Tx    string          `json:"spendingtx,omitempty"`
	}
	spent := make([]spentJSON, len(outs))
	for i, o := range outs {
		spent[i] = spentJSON{TxID: o.TxID, Index: o.Index}
		if by, ok := pool.Spender(o); ok {
			spent[i].By = &by
			if tx, ok := pool.ByTxID(by); ok && withTx {
				spent[i].Tx = hex.EncodeToString(tx.Bytes())
			}
		} else if !mempoolOnly {
			return nil, fail(codeMisc, "Mempool lacks a relevant spend, and txospenderindex is unavailable.")
		}
	}
	return spent, nil
}

// outPoint reads {"txid": …, "vout": …}, and nothing else, with the errors of
// Bitcoin Core.
func outPoint(raw json.RawMessage) (o consensus.OutPoint, err error) {
	if jsonType(raw) != "object" {
		return o, fail(codeType, "JSON value of type %s is not of expected type object", jsonType(raw))
	}
	one := &params{params: []*manual.Node{{Name: "txid"}, {Name: "vout"}}, values: make([]json.RawMessage, 2)}
	err = eachMember(raw, func(name string, value json.RawMessage) error {
		i := slices.IndexFunc(one.params, func(n *manual.Node) bool { return n.Name == name })
		if i < 0 {
			return fail(codeType, "Unexpected key %.80s", name)
		}
		one.values[i] = value
		return nil
	})
	if err != nil {
		return o, err
	}
	for i, want := range []string{"string", "number"} {
		if one.values[i] == nil {
			return o, fail(codeType, "Missing %s", one.params[i].Name)
		}
		if got := jsonType(one.values[i]); got != want {
			return o, fail(codeType, "JSON value of type %s for field %s is not of expected type %s", got, one.params[i].Name, want)
		}
	}
	o.TxID = one.hash(0, "txid")
	index := one.integer(1, 0, math.MinInt32, math.MaxInt32)
	if one.err == nil && index < 0 {
		return o, fail(codeParameter, "Invalid parameter, vout cannot be negative")
	}
	o.Index = uint32(index)
	return o, one.err
}

func (s *Server) saveMempool(context.Context, *params) (any, error) {
	if !s.cfg.Pool.Loaded() {
		return nil, fail(codeMisc, "The mempool was not loaded yet")
	}
	path := filepath.Join(s.cfg.Dir, mempool.FileName)
	if err := s.cfg.Pool.Save(path, slices.Collect(maps.Keys(s.cfg.Network.Unbroadcast()))...); err != nil {
		return nil, fail(codeMisc, "Unable to dump mempool to disk: %v", err)
	}
	return struct {
		Filename string `json:"filename"`
	}{path}, nil
}

func (s *Server) getMempoolEntry(_ context.Context, p *params) (any, error) {
	id := p.hash(0, "txid")
	if p.err != nil {
		return nil, p.err
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	info, ok := pool.Info(id)
	if !ok {
		return nil, errNotPooled
	}
	return entryJSON(&info, s.cfg.Network.Unbroadcast()[id]), nil
}

func entryJSON(i *mempool.Info, unbroadcast bool) any {
	type fees struct {
		Base       coins `json:"base"`
		Modified   coins `json:"modified"`
		Ancestor   coins `json:"ancestor"`
		Descendant coins `json:"descendant"`
		Chunk      coins `json:"chunk"`
	}
	return struct {
		VSize           int              `json:"vsize"`
		Weight          int              `json:"weight"`
		Time            int64            `json:"time"`
		Height          uint32           `json:"height"`
		DescendantCount int              `json:"descendantcount"`
		DescendantSize  int              `json:"descendantsize"`
		AncestorCount   int              `json:"ancestorcount"`
		AncestorSize    int              `json:"ancestorsize"`
		ChunkWeight     int              `json:"chunkweight"`
		WTxID           consensus.Hash   `json:"wtxid"`
		Fees            fees             `json:"fees"`
		Depends         []consensus.Hash `json:"depends"`
		SpentBy         []consensus.Hash `json:"spentby"`
		Replaceable     bool             `json:"bip125-replaceable"`
		Unbroadcast     bool             `json:"unbroadcast"`
	}{
		i.Size, i.Weight, i.Time.Unix(), i.Height, i.Descendants.Count, i.Descendants.Size, i.Ancestors.Count, i.Ancestors.Size,
		i.ChunkWeight, i.WTxID, fees{coins(i.Fee), coins(i.Modified), coins(i.Ancestors.Fees), coins(i.Descendants.Fees), coins(i.Chunk.Fees)}, sorted(i.Depends), sorted(i.SpentBy), i.Signals, unbroadcast,
	}
}

// sorted orders hashes by their text; it gives an empty list for none.
func sorted(hashes []consensus.Hash) []consensus.Hash {
	hashes = append([]consensus.Hash{}, hashes...)
	slices.SortFunc(hashes, func(a, b consensus.Hash) int { return strings.Compare(a.String(), b.String()) })
	return hashes
}
