package sigcheck

// point is a point of secp256k1, y² = x³ + 7. The point at infinity has x = 0,
// which no other has: 7 is not a square.
type point struct{ x, y element }

var generator = point{
	element{0x59f2815b16f81798, 0x029bfcdb2dce28d9, 0x55a06295ce870b07, 0x79be667ef9dcbbac},
	element{0x9c47d08ffb10d4b8, 0xfd17b448a6855419, 0x5da4fbfc0e1108a8, 0x483ada7726a3c465},
}

func (p *point) infinite() bool { return p.x == element{} }

// lift gives points, at most as many as there are lanes and with an x below p,
// the y that is even, and reports whether all of them have one (lift_x of
// BIP340).
func lift(points []point) bool {
	var squares, y [lanes]element
	for i := range points {
		x := &points[i].x
		squares[i].square(x)
		squares[i].mul(&squares[i], x)
		squares[i].add(&squares[i], &element{7})
	}
	roots(y[:len(points)], squares[:len(points)])
	for i := range points {
		var check element
		check.square(&y[i])
		if !check.equal(&squares[i]) {
			return false
		}
		if y[i].isOdd() {
			y[i].negate(&y[i])
		}
		points[i].y = y[i]
	}
	return true
}

// jacobian is the point (x/z², y/z³), at infinity where z is 0.
type jacobian struct{ x, y, z element }

func (j *jacobian) infinite() bool { return j.z.isZero() }

// double sets j to 2j (dbl-2009-l of the Explicit-Formulas Database).
func (j *jacobian) double() {
	if j.infinite() {
		return
	}
	var a, b, c, d, e, f element
	a.square(&j.x)
	b.square(&j.y)
	c.square(&b)
	d.add(&j.x, &b)
	d.square(&d)
	d.sub(&d, &a)
	d.sub(&d, &c)
	d.add(&d, &d)
	e.add(&a, &a)
	e.add(&e, &a)
	f.square(&e)
	j.z.mul(&j.y, &j.z)
	j.z.add(&j.z, &j.z)
	j.x.sub(&f, &d)
	j.x.sub(&j.x, &d)
	d.sub(&d, &j.x)
	j.y.mul(&e, &d)
	c.add(&c, &c)
	c.add(&c, &c)
	c.add(&c, &c)
	j.y.sub(&j.y, &c)
}

// add sets j to j + p.
func (j *jacobian) add(p *point) {
	if p.infinite() {
		return
	}
	if j.infinite() {
		*j = jacobian{p.x, p.y, element{1}}
		return
	}
	var zz, u, s, h, r, hh, hhh, v element
	zz.square(&j.z)
	u.mul(&p.x, &zz)
	s.mul(&p.y, &zz)
	s.mul(&s, &j.z)
	h.sub(&u, &j.x)
	r.sub(&s, &j.y)
	if h.isZero() {
		if r.isZero() {
			j.double()
		} else {
			*j = jacobian{}
		}
		return
	}
	hh.square(&h)
	hhh.mul(&hh, &h)
	v.mul(&j.x, &hh)
	j.z.mul(&j.z, &h)
	j.x.square(&r)
	j.x.sub(&j.x, &hhh)
	j.x.sub(&j.x, &v)
	j.x.sub(&j.x, &v)
	v.sub(&v, &j.x)
	r.mul(&r, &v)
	hhh.mul(&hhh, &j.y)
	j.y.sub(&r, &hhh)
}
