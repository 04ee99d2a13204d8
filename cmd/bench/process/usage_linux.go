package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of /proc/<pid>/stat: USER_HZ is 100 wherever Go runs.
const tick = time.Second / 100

// CPU is how much of a processor's time the process has used so far.
func (p *Process) CPU() (time.Duration, error) {
	file := fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid)
	stat, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.name, err)
	}
	// The second field is the program's name in brackets, with whatever is in it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime = 11, 12
	if len(fields) <= stime {
		return 0, fmt.Errorf("%s holds %q", file, stat)
	}
	var ticks int64
	for _, field := range [][]byte{fields[utime], fields[stime]} {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// Peak is the most memory that the process has had so far, in bytes.
func (p *Process) Peak() (int, error) {
	file := fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)
	status, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.name, err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	text, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kilobytes, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("VmHWM in %s: %w", file, err)
	}
	return kilobytes << 10, nil
}

// dieWithUs has the system kill a process when this one is gone, however that
// came about.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
