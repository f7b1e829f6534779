// Package attack lets strangers attack the real binary over loopback sockets,
// while an honest peer goes on: it asks how long an honest block, transaction and
// call take meanwhile, what memory it costs, and whether all is at rest again ten
// seconds later. The strangers speak Bitcoin's TCP framing from addresses of
// 127.0.0.0/8, which the node under attack takes for public ones.
//
// The numbers of strangers are small in `make test`, and what a determined
// stranger can do on one machine in `make attack`.
package attack
