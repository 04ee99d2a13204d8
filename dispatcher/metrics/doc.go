// Package metrics is what the dispatcher counts. It bounds how many series there
// are, whatever is published: the values of every attribute are from a closed
// list, but for dataset, about which [Datasets] decides.
package metrics
