package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"lode/mempool"
	"lode/rpc"
	"lode/rpc/zmq"
)

// zmqTexts say what the topics of ZeroMQ are.
var zmqTexts = map[string]string{
	"hashblock": "the hash of each new tip", "hashtx": "the id of each transaction that comes into the mempool or is in a block",
	"rawblock": "each new tip itself", "rawtx": "each such transaction itself", "sequence": "what comes and goes, in order: blocks and transactions",
}

// zmqFlags are the flags of a node about what it publishes by ZeroMQ, with the names of
// Bitcoin Core.
func zmqFlags() (list []cli.Flag) {
	for _, topic := range zmq.Topics {
		list = append(list,
			&cli.StringSliceFlag{Name: "zmqpub" + topic, Usage: "publish " + zmqTexts[topic] + " at `ADDRESS` by ZeroMQ, tcp://HOST:PORT or unix:PATH; may be repeated"},
			&cli.IntFlag{Name: "zmqpub" + topic + "hwm", Value: zmq.DefaultHWM, Usage: "leave messages of that out for a subscriber for whom `N` wait; 0 is for no limit but 32 MB"})
	}
	return withEnv(list...)
}

func (n *nodeConfig) readZMQFlags(c *cli.Context) error {
	for _, topic := range zmq.Topics {
		hwm := c.Int("zmqpub" + topic + "hwm")
		if hwm < 0 {
			return usageError(c.Command.HelpName, "--zmqpub%shwm %d: want 0 or more", topic, hwm)
		}
		for _, address := range c.StringSlice("zmqpub" + topic) {
			if err := zmq.CheckAddress(address); err != nil {
				return usageError(c.Command.HelpName, "--zmqpub%s: %v", topic, err)
			}
			n.zmq = append(n.zmq, zmq.Notification{Topic: topic, Address: address, HWM: hwm})
		}
	}
	return nil
}

// openZMQ opens the sockets of ZeroMQ, if there are any, before anything comes into the
// mempool.
func (n *nodeConfig) openZMQ(ctx context.Context, p *nodeParts) (err error) {
	if len(n.zmq) == 0 {
		return nil
	}
	p.zmq, err = zmq.Listen(ctx, zmq.Config{
		Chain: p.ledger, Sync: p.pool.Sync, Initial: p.peers.InitialBlockDownload, Point: p.pool.Point, Log: n.log,
	}, n.zmq)
	return err
}

// onMove has all be told of the moves of the mempool who want to know.
func (p *nodeParts) onMove() {
	if p.zmq == nil {
		p.pool.OnMove(p.events.Move)
		return
	}
	p.pool.OnMove(func(m mempool.Move) {
		p.events.Move(m)
		p.zmq.Move(m)
	})
}

// zmqNotifications is what is published, for the RPC.
func (p *nodeParts) zmqNotifications() (list []rpc.ZMQNotification) {
	if p.zmq == nil {
		return nil
	}
	for _, n := range p.zmq.Notifications() {
		list = append(list, rpc.ZMQNotification{Type: "pub" + n.Topic, Address: n.Address, HWM: n.HWM})
	}
	return list
}
