package rpc

import (
	"context"
	"slices"
	"strings"

	"lode/consensus"
	"lode/mempool"
)

func (s *Server) mempoolMethods() []method {
	const group = "Mempool"
	return []method{
		{group, "getmempoolinfo", nil, 0, "The mempool in numbers.", s.getMempoolInfo},
		{group, "getrawmempool", []string{"verbose", "mempool_sequence"}, 0, "The transactions of the mempool: their ids, or described.", s.getRawMempool},
		{group, "getmempoolentry", []string{"txid"}, 1, "Describes one transaction of the mempool.", s.getMempoolEntry},
		{"Rawtransactions", "submitpackage", []string{"package", "maxfeerate", "maxburnamount"}, 1, "Gives a transaction and, before it in the list, parents of it to the mempool: a parent that pays too little by itself comes in with the child. The limits are those of sendrawtransaction.", s.submitPackage},
		{"Util", "estimatesmartfee", []string{"conf_target", "estimate_mode"}, 1, "The fee rate that has had transactions confirmed within conf_target blocks, from what this node has seen since it started; it says so if that is too little.", s.estimateSmartFee},
		{"Util", "validateaddress", []string{"address"}, 1, "Checks an address.", s.validateAddress},
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
		coins(st.Policy.Increment), len(s.cfg.Network.Unbroadcast()), true, false, st.Policy.MaxWeight / consensus.WitnessScale, st.Policy.MaxCluster, st.Policy.MaxClusterSize,
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
	changes := pool.Changes() // first, so that a change after it is not lost
	infos := pool.All()
	if !verbose {
		ids := make([]consensus.Hash, len(infos))
		for i := range infos {
			ids[i] = infos[i].TxID
		}
		if sequence {
			return struct {
				TxIDs    []consensus.Hash `json:"txids"`
				Sequence uint64           `json:"mempool_sequence"`
			}{ids, changes}, nil
		}
		return ids, nil
	}
	entries, unbroadcast := make(map[string]any, len(infos)), s.cfg.Network.Unbroadcast()
	for i := range infos {
		entries[infos[i].TxID.String()] = entryJSON(&infos[i], unbroadcast[infos[i].TxID])
	}
	return entries, nil
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
		return nil, fail(codeAddress, "Transaction not in mempool")
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
		i.ChunkWeight, i.WTxID, fees{coins(i.Fee), coins(i.Modified), coins(i.Ancestors.Fees), coins(i.Descendants.Fees), coins(i.Chunk.Fees)}, sorted(i.Depends), sorted(i.SpentBy), true, unbroadcast,
	}
}

// sorted orders hashes by their text; it gives an empty list for none.
func sorted(hashes []consensus.Hash) []consensus.Hash {
	hashes = append([]consensus.Hash{}, hashes...)
	slices.SortFunc(hashes, func(a, b consensus.Hash) int { return strings.Compare(a.String(), b.String()) })
	return hashes
}
