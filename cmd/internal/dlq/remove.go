package dlq

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
)

// removeFlags is what rm can be told.
type removeFlags struct {
	filterFlags

	all    bool
	dryRun bool
	yes    bool
}

// doomed is a letter to be removed: what of it is shown.
type doomed struct {
	number  uint64
	kind    kindOfLetter
	deadFor string
}

// kindOfLetter is what letters are counted by.
type kindOfLetter struct{ dataset, reason string }

func (v verbs) remove() *cobra.Command {
	var flags removeFlags
	command := &cobra.Command{
		Use:   "rm [NUMBER…]",
		Short: "Remove dead letters for good",
		Long: `Remove dead letters for good: those named by number, or those that the flags
choose; --all chooses every one. NATS overwrites them on its disks, in every
replica; backups and mirrors of the stream are not reached.

What would be removed is shown first. On a terminal you are asked then;
elsewhere say --yes.

Exit codes: 0 removed, or gone already when its turn came; 1 failed, or not
confirmed; 2 wrong usage; 3 a number named no dead letter.`,
		Example: `  capi-dispatcher dlq rm 17 18
  capi-dispatcher dlq rm --reason expired --dry-run
  capi-dispatcher dlq rm --dataset 1234567890 --reason invalid --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			numbers, err := parseNumbers(args)
			if err != nil {
				return err
			}
			if err := flags.check(numbers); err != nil {
				return err
			}
			return v.withBox(cmd, func(box *deadletter.Box) error { return flags.run(cmd, box, numbers) })
		},
	}
	flags.add(command)
	command.Flags().BoolVar(&flags.all, "all", false, "all dead letters")
	command.Flags().BoolVar(&flags.dryRun, "dry-run", false, "only say what would be removed")
	command.Flags().BoolVar(&flags.yes, "yes", false, "do not ask")
	return command
}

func (f *removeFlags) check(numbers []uint64) error {
	byFilter := f.given() || f.all
	switch {
	case len(numbers) == 0 && !byFilter:
		return exit.Usage(errors.New("nothing is chosen: name numbers, use flags, or say --all"))
	case len(numbers) > 0 && byFilter:
		return exit.Usage(errors.New("numbers and flags choose in different ways; use one of them"))
	case f.dryRun && f.yes:
		return exit.Usage(errors.New("--dry-run, --yes: choose one"))
	default:
		return nil
	}
}

func (f *removeFlags) run(cmd *cobra.Command, box *deadletter.Box, numbers []uint64) error {
	letters, missing, err := f.choose(cmd, box, numbers)
	if err != nil {
		return err
	}
	if err := showDoomed(cmd.OutOrStdout(), letters); err != nil {
		return err
	}
	if len(letters) > 0 && !f.dryRun {
		if err := f.confirm(cmd); err != nil {
			return err
		}
		if err := remove(cmd.Context(), cmd.OutOrStdout(), box, letters); err != nil {
			return err
		}
	}
	if missing > 0 {
		return exit.ErrPartial
	}
	return nil
}

// choose notes which letters are meant, without their events: there may be
// many.
func (f *removeFlags) choose(
	cmd *cobra.Command, box *deadletter.Box, numbers []uint64,
) (letters []doomed, missing int, err error) {
	now := time.Now()
	note := func(l deadletter.Letter) error {
		letters = append(letters, doomed{
			l.Sequence, kindOfLetter{orDash(l.Dataset), string(l.Reason)}, age(now, l.DeadLetteredAt),
		})
		return nil
	}
	for _, number := range slices.Compact(slices.Sorted(slices.Values(numbers))) {
		letter, err := box.Get(cmd.Context(), number)
		switch {
		case errors.Is(err, deadletter.ErrNotFound):
			cmd.PrintErrln(err)
			missing++
		case err != nil:
			return nil, 0, err
		default:
			_ = note(letter)
		}
	}
	if len(numbers) > 0 {
		return letters, missing, nil
	}
	filter, err := f.filter(now)
	if err != nil {
		return nil, 0, err
	}
	_, err = box.Each(cmd.Context(), filter, note)
	return letters, 0, err
}

// mostShown is how many letters are listed; all are counted.
const mostShown = 20

func showDoomed(out io.Writer, letters []doomed) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	counts := make(map[kindOfLetter]int)
	for i, l := range letters {
		counts[l.kind]++
		if i == 0 {
			_ = terminal.Row(table, "NUMBER", "AGE", "DATASET", "REASON")
		}
		if i < mostShown {
			_ = terminal.Row(table, strconv.FormatUint(l.number, 10), l.deadFor, l.kind.dataset, l.kind.reason)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if more := len(letters) - mostShown; more > 0 {
		fmt.Fprintf(out, "… and %d more\n", more)
	}
	fmt.Fprintf(out, "%s to remove\n", terminal.Count(len(letters), "letter"))
	byNumber := func(a, b kindOfLetter) int { return strings.Compare(a.dataset+" "+a.reason, b.dataset+" "+b.reason) }
	for _, kind := range slices.SortedFunc(maps.Keys(counts), byNumber) {
		fmt.Fprintf(out, "  %d of dataset %s, %s\n", counts[kind], kind.dataset, kind.reason)
	}
	return nil
}

// confirm asks, where there is a person to ask.
func (f *removeFlags) confirm(cmd *cobra.Command) error {
	if f.yes {
		return nil
	}
	if in, ok := cmd.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(in.Fd())) {
		return exit.Usage(errors.New("nothing is removed: say --yes to remove them, or --dry-run to see them"))
	}
	cmd.PrintErr("Remove them for good? [y/N] ")
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer))) {
		return errors.New("nothing is removed")
	}
	return nil
}

// remove removes the letters one by one, up to the first that it cannot, and
// says how many it has.
func remove(ctx context.Context, out io.Writer, box *deadletter.Box, letters []doomed) error {
	removed, gone := 0, 0
	var failure error
	for _, l := range letters {
		if failure = box.Remove(ctx, l.number); errors.Is(failure, deadletter.ErrNotFound) {
			gone++
			failure = nil
			continue
		}
		if failure != nil {
			break
		}
		removed++
	}
	fmt.Fprintf(out, "%d of %s removed", removed, terminal.Count(len(letters), "letter"))
	if gone > 0 {
		fmt.Fprintf(out, ", %d gone already", gone)
	}
	fmt.Fprintln(out)
	if failure != nil {
		return fmt.Errorf("not removed: %s: %w", terminal.Count(len(letters)-removed-gone, "letter"), failure)
	}
	return nil
}
