// Package e2e holds tests of the whole program: the binary as it is shipped,
// run as a process of its own, between a real NATS server, a real redis-server
// and the simulated Graph API. What the product promises is asserted here, on
// the simulated API's ledger.
package e2e
