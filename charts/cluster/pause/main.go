// Command pause holds the namespaces of a pod, and ends when it is told to. It
// stands in for the image of that name, which the test does not pull.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
