package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// ports are where a node listens; what is off is nil.
type ports struct {
	rpc, socket, tcp, miners net.Listener
	binds                    []net.Listener // of --whitebind
}

// openPorts opens them in this order. What is open when it fails is for the
// caller to close, too.
func (n *nodeConfig) openPorts() (*ports, error) {
	p := &ports{}
	for _, port := range []struct {
		listener      *net.Listener
		address, flag string
	}{
		{&p.rpc, n.rpcListen, "--rpc-listen"},
		{&p.socket, n.listen, "--listen"},
		{&p.tcp, n.listenTCP, "--listen-tcp"},
		{&p.miners, n.pool.listen, "--stratum"},
	} {
		if port.address == "" {
			continue
		}
		var err error
		if *port.listener, err = listen(port.address, port.flag); err != nil {
			return p, err
		}
	}
	for _, b := range n.binds {
		l, err := listen(b.address, "--whitebind")
		if err != nil {
			return p, err
		}
		p.binds = append(p.binds, l)
	}
	return p, nil
}

func (p *ports) close() {
	for _, l := range append([]net.Listener{p.rpc, p.socket, p.tcp, p.miners}, p.binds...) {
		if l != nil {
			l.Close() // each part closes its own, too
		}
	}
}

func listen(address, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is in use by another process: stop it or choose another port with %s", flag, address, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return l, nil
}
