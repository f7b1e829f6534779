package walletrpc

import (
	"cmp"
	"slices"

	"lode/wallet"
)

// descriptorCalls are the calls about where keys come from.
func (m *Manager) descriptorCalls() calls {
	return calls{
		"importdescriptors": m.on(importDescriptors),
		"listdescriptors":   m.asIs(listDescriptors),
		"gethdkeys":         m.asIs(getHDKeys),
	}
}

type descriptorJSON struct {
	Desc      string    `json:"desc"`
	Timestamp int64     `json:"timestamp"`
	Active    bool      `json:"active"`
	Internal  *bool     `json:"internal,omitempty"`
	Range     *[2]int64 `json:"range,omitempty"`
	Next      *uint32   `json:"next,omitempty"`
	NextIndex *uint32   `json:"next_index,omitempty"`
}

func listDescriptors(c *call) (any, error) {
	private := c.a.Flag(0, false)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	views := c.w.Descriptors()
	if private {
		err := c.o.withSecret(func(s *wallet.Secret) error { return c.w.ShowPrivate(views, s) })
		if err != nil {
			return nil, err
		}
	}
	list := []descriptorJSON{}
	for _, d := range views {
		j := descriptorJSON{Desc: d.Descriptor, Timestamp: c.birth(), Active: d.Active}
		if !d.Created.IsZero() {
			j.Timestamp = d.Created.Unix()
		}
		if d.Active {
			j.Internal = &d.Internal
		}
		if d.Range {
			j.Range, j.Next, j.NextIndex = &[2]int64{0, int64(d.End) - 1}, &d.Next, &d.Next
		}
		list = append(list, j)
	}
	slices.SortFunc(list, func(a, b descriptorJSON) int { return cmp.Compare(a.Desc, b.Desc) })
	return struct {
		Name string           `json:"wallet_name"`
		List []descriptorJSON `json:"descriptors"`
	}{c.o.name, list}, nil
}

func getHDKeys(c *call) (any, error) {
	o := c.a.Object(0, "active_only", "private")
	active, private := o.Flag(0, false), o.Flag(1, false)
	if err := firstError(c.a, o); err != nil {
		return nil, err
	}
	if private && c.w.WatchOnly() {
		return nil, fail(codeWallet, "Error: Private keys are disabled for this wallet")
	}
	type descJSON struct {
		Desc   string `json:"desc"`
		Active bool   `json:"active"`
	}
	type keyJSON struct {
		XPub    string     `json:"xpub"`
		Private bool       `json:"has_private"`
		XPrv    string     `json:"xprv,omitempty"`
		Descs   []descJSON `json:"descriptors"`
	}
	list := []keyJSON{}
	at := make(map[string]int)
	views := c.w.Descriptors()
	var keys []wallet.DescriptorView // one for each of list
	for _, d := range views {
		xpub := c.w.RootKey(&d)
		if xpub == "" || active && !d.Active {
			continue
		}
		i, ok := at[xpub]
		if !ok {
			i = len(list)
			at[xpub] = i
			list = append(list, keyJSON{XPub: xpub, Private: !c.w.WatchOnly() && !d.Watched})
			keys = append(keys, d)
		}
		list[i].Descs = append(list[i].Descs, descJSON{d.Descriptor, d.Active})
	}
	if private {
		err := c.o.withSecret(func(s *wallet.Secret) (err error) {
			for i := range list {
				if !list[i].Private {
					continue
				}
				if list[i].XPrv, err = c.w.PrivateRootKey(&keys[i], s); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}
