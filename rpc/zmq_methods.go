package rpc

import "context"

// ZMQNotification is something that the node publishes by ZeroMQ.
type ZMQNotification struct {
	Type    string `json:"type"` // such as pubhashblock
	Address string `json:"address"`
	HWM     int    `json:"hwm"` // messages that wait for a subscriber
}

func (s *Server) getZMQNotifications(context.Context, *params) (any, error) {
	return append([]ZMQNotification{}, s.cfg.ZMQ...), nil
}
