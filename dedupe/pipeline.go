package dedupe

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// pipeline sends what add puts into it in one flush, and returns the commands,
// each with its own outcome.
func (s *Store) pipeline(ctx context.Context, add func(redis.Pipeliner)) []redis.Cmder {
	cmds, err := s.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		add(pipe)
		return nil
	})
	if err != nil && !slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Err() != nil }) {
		// The connection could not be set up: the client leaves the commands
		// looking as if they had succeeded.
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
	}
	return cmds
}

// sets makes a SET for each claim. Their texts and arguments are made in a few
// pieces for all of them: one by one they were a third of all that a worker
// allocates.
type sets struct {
	keys, values []string
	args         []any
	flags        []any
	lasts        time.Duration
	milliseconds any // the same, as an argument
}

func newSets(claims []Claim, value func(Claim, []byte) []byte, flags ...any) *sets {
	const most = 5 // arguments beside flags
	return &sets{
		keys:   texts(claims, func(c Claim, text []byte) []byte { return append(text, c.Key[:]...) }),
		values: texts(claims, value),
		args:   make([]any, 0, len(claims)*(most+len(flags))), flags: flags,
	}
}

// texts makes a text of each claim, all of them parts of one.
func texts(claims []Claim, add func(c Claim, text []byte) []byte) []string {
	var text []byte
	ends := make([]int, len(claims))
	for i, c := range claims {
		text = add(c, text)
		ends[i] = len(text)
	}
	all, begin, parts := string(text), 0, make([]string, len(claims))
	for i, end := range ends {
		parts[i] = all[begin:end]
		begin = end
	}
	return parts
}

// next is the command for the next claim, whose key lasts for so long.
func (s *sets) next(ctx context.Context, lasts time.Duration) *redis.StatusCmd {
	if lasts != s.lasts {
		s.lasts, s.milliseconds = lasts, lasts.Milliseconds()
	}
	begin := len(s.args)
	s.args = append(s.args, "set", &s.keys[0], &s.values[0], "px", s.milliseconds)
	s.args = append(s.args, s.flags...)
	s.keys, s.values = s.keys[1:], s.values[1:]
	return redis.NewStatusCmd(ctx, s.args[begin:len(s.args):len(s.args)]...)
}
