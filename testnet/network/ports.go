package network

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"strconv"
)

// peerPort is where node I listens for peers, if the ports begin at one; its RPC port
// is the next.
func peerPort(first, i int) int { return first + 2*(i-1) }

// The ports of a network that is given none begin at one of these, below those that
// systems choose for connections. Which it is follows from the directory, so that
// networks that are made at the same time rarely want the same.
const (
	firstPort = 12_000
	portStep  = 200
	portTries = 36
)

func slotOf(dir string) int {
	h := fnv.New32a()
	h.Write([]byte(dir))
	return int(h.Sum32() % portTries)
}

// errTaken is the kind of error for a port that another process has.
var errTaken = errors.New("is in use by another process")

func taken(host string, port int) error {
	return fmt.Errorf("port %d on %s %w: stop it, or choose others with --port", port, host, errTaken)
}

// choosePort gives the first port for so many nodes: that which is asked for, or one
// behind which all are free. The search begins at a slot.
func choosePort(asked, nodes, slot int) (int, error) {
	if asked != 0 {
		return asked, free(asked, nodes)
	}
	var err error
	for i := range portTries {
		first := firstPort + (slot+i)%portTries*portStep
		if err = free(first, nodes); err == nil {
			return first, nil
		}
	}
	return 0, err
}

// free says which port of a network is taken, if any.
func free(first, nodes int) error {
	for i := 1; i <= nodes; i++ {
		port := peerPort(first, i)
		for _, at := range []string{"127.0.0.1", hostOf(i)} {
			for _, p := range []int{port, port + 1} {
				if !canListen(at, p) && canListen(at, 0) {
					return taken(at, p)
				}
			}
		}
	}
	return nil
}

func canListen(host string, port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
