package p2p

func (s *station) count(kind connectionKind) (n int) {
	for _, p := range s.Peers() {
		if p.Kind == string(kind) && p.HandshakeIsOver {
			n++
		}
	}
	return n
}
