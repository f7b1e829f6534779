package sigcheck

// OnCurve reports of each 32-byte key whether it is one: the x of a point of the curve,
// as signatures by BIP340 want it. Many at once cost a fraction of one by one.
func OnCurve(keys [][32]byte) []bool {
	on := make([]bool, len(keys))
	for begin := 0; begin < len(keys); begin += lanes {
		part := keys[begin:min(begin+lanes, len(keys))]
		var squares, y [lanes]element
		for i := range part {
			var x element
			on[begin+i] = x.setBytes(&part[i])
			squares[i].square(&x)
			squares[i].mul(&squares[i], &x)
			squares[i].add(&squares[i], &element{7})
		}
		roots(y[:len(part)], squares[:len(part)])
		for i := range part {
			var check element
			check.square(&y[i])
			on[begin+i] = on[begin+i] && check.equal(&squares[i])
		}
	}
	return on
}
