package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
)

// ports are where a node listens; what is off is nil.
type ports struct {
	rpc                 []net.Listener
	socket, tcp, miners net.Listener
	electrum            net.Listener   // wallets, by lines
	electrumTLS         net.Listener   // by lines with TLS
	electrumWS          net.Listener   // by WebSocket
	binds               []net.Listener // of --whitebind
}

// openPorts opens them in this order. What is open when it fails is for the
// caller to close, too.
func (n *nodeConfig) openPorts() (*ports, error) {
	p := &ports{}
	for _, place := range n.rpcPlaces {
		l, err := listen(place.address, place.flag)
		switch {
		case err == nil:
			p.rpc = append(p.rpc, l)
		case !place.spare:
			return p, err
		default: // IPv6 may be turned off on this machine
			n.log.Debug("RPC calls are not answered there", "address", place.address, "error", err)
		}
	}
	for _, port := range []struct {
		listener      *net.Listener
		address, flag string
	}{
		{&p.socket, n.listen, "--listen"},
		{&p.tcp, n.listenTCP, "--listen-tcp"},
		{&p.miners, n.pool.listen, "--stratum"},
		{&p.electrum, n.electrum.lines, "--electrum"},
		{&p.electrumTLS, n.electrum.tls, "--electrum-tls"},
		{&p.electrumWS, n.electrum.sockets, "--electrum-ws"},
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

// callers names where RPC calls are answered.
func (p *ports) callers() string {
	var list []string
	for _, l := range p.rpc {
		list = append(list, l.Addr().String())
	}
	return strings.Join(list, " ")
}

func (p *ports) close() {
	for _, l := range slices.Concat(p.rpc, p.binds, []net.Listener{p.socket, p.tcp, p.miners, p.electrum, p.electrumTLS, p.electrumWS}) {
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
