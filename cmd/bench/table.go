package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"
)

// print prints the tables.
func (r report) print(out io.Writer) error {
	fmt.Fprintf(out, "\n%d processors, %s %s/%s; the receiver answers after %s\n",
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, r.Flags.answerAfter)
	return errors.Join(r.printBacklogs(out), r.printPaces(out))
}

func (r report) printBacklogs(out io.Writer) error {
	fmt.Fprintf(out, "\nA backlog of %d events, %d of them copies, which the ceiling does not recognise\n",
		r.Ceiling.Load.events, r.Ceiling.Load.copies())
	fmt.Fprint(out, "(µs: processors' time an event, of the program itself and of the servers; busy: all of it, of the machine's; allocs: an event)\n\n")
	table := newTable(out)
	fmt.Fprint(table, "\tdatasets\tevents/s\tof ceiling\titself µs\tnats µs\tredis µs\treceiver µs\tbusy\t"+
		"allocs\tpeak MB\trequests\tevents each\treceived\tagain\t\n")
	for _, m := range r.Workers {
		r.row(table, m)
	}
	r.row(table, r.Ceiling)
	return table.Flush()
}

func (r report) printPaces(out io.Writer) error {
	fmt.Fprintf(out, "\nFrom publisher to receiver at a steady rate, %d datasets\n\n", latencyDatasets)
	table := newTable(out)
	fmt.Fprint(table, "events/s\tpublished/s\tevents\tp50 ms\tp99 ms\tp99.9 ms\t\n")
	for _, p := range r.Paces {
		l := p.Latencies
		fmt.Fprintf(table, "%d\t%.0f\t%d\t%.2f\t%.2f\t%.2f\t\n", p.Rate, p.Published, l.Events,
			milliseconds(l.P50), milliseconds(l.P99), milliseconds(l.P999))
	}
	return table.Flush()
}

func newTable(out io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
}

func (r report) row(table io.Writer, m measurement) {
	fmt.Fprintf(table, "%s\t%d\t%.0f\t%.0f %%\t", m.Name, m.Load.datasets, m.rate(), 100*m.rate()/r.Ceiling.rate())
	for _, cpu := range []time.Duration{m.CPU.Contender, m.CPU.NATS, m.CPU.Redis, m.CPU.Receiver} {
		fmt.Fprintf(table, "%.2f\t", m.each(float64(cpu.Microseconds())))
	}
	got := m.Received
	fmt.Fprintf(table, "%.0f %%\t%.1f\t%.0f\t%d\t%.1f\t%d\t%d\t\n",
		100*m.busy(), m.each(float64(m.Allocs)), float64(m.Peak)/1e6, got.Requests, m.eventsEach(),
		got.Distinct, got.Events-got.Distinct)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
