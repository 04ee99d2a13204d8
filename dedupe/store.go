package dedupe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// State is the answer to a claim.
type State uint8

// The answers to a claim.
const (
	// Failed: Redis did not answer, so nothing is known. Claim again.
	Failed State = iota
	// Fresh: the identity was free, and is now this delivery's; or it was this
	// delivery's already.
	Fresh
	// Inherited: the claim was an earlier delivery's of this message, or that of
	// a message which has vanished, and its time is over. It is this delivery's
	// now, and the event may have been sent.
	Inherited
	// InheritedBefore: the claim was this delivery's already, by inheritance. To
	// those who did not get that answer it says the same.
	InheritedBefore
	// Held: another has the claim: another message, or another delivery
	// of this one. Ask again later.
	Held
	// Sent: the event has been accepted before. Drop this copy.
	Sent
)

func (s State) String() string {
	return [...]string{"failed", "fresh", "inherited", "inherited before", "held", "sent"}[s]
}

// Claim asks for the right to send one event.
type Claim struct {
	Key   Key
	Owner Owner
	// Holder is who asks in the name of the owner.
	Holder Holder
	// Replaces is an owner whose claim passes to this one at once: that of a
	// dead letter that is to be sent all the same. 0 is none.
	Replaces Owner
	// Remember is how long a confirmed event is remembered beyond
	// [Config.Window]: for events that Meta accepts for longer.
	Remember time.Duration
	// Doubtful: the holder knows that the event may have been sent. A claim that
	// it has inherited without getting to know is not released.
	Doubtful bool
}

// value is what the key of a claim holds. The script below marks it where the
// claim was inherited, so that it stays known if the answer gets lost.
func (c Claim) value() string { return string(c.appendValue(nil)) }

func (c Claim) appendValue(text []byte) []byte {
	text = append(strconv.AppendInt(text, int64(c.Owner), 10), ' ')
	return strconv.AppendUint(text, uint64(c.Holder), 36)
}

// Result is the answer to one [Claim]; Err is set if the state is [Failed].
type Result struct {
	State State
	Err   error
}

// sent is the value of a key whose event was accepted.
const sent = "1"

// Store is the claims in one Redis. It is safe for concurrent use.
type Store struct {
	redis redis.UniversalClient
	cfg   Config
	lease time.Duration
}

// New returns a Store on the given client. For as long as lease after a claim
// was made, no other delivery of the same message gets it: a request begun on
// it has to end by then. The client must not retry commands by itself
// (MaxRetries -1): it would take longer than its caller has.
func New(cfg Config, lease time.Duration, client redis.UniversalClient) *Store {
	return &Store{redis: client, cfg: cfg, lease: lease}
}

// Claim claims every identity in one round trip, two if some have an owner: to
// claim again what one has makes it young again. The results are in the order of
// the claims.
func (s *Store) Claim(ctx context.Context, claims []Claim) []Result {
	cmds := s.pipeline(ctx, func(pipe redis.Pipeliner) {
		set := newSets(claims, Claim.appendValue, "nx", "get")
		for range claims {
			_ = pipe.Process(ctx, set.next(ctx, s.cfg.Window)) // only puts it into the pipeline
		}
	})
	results := make([]Result, len(claims))
	var contested []int
	for i, cmd := range cmds {
		switch value, err := cmd.(*redis.StatusCmd).Result(); {
		case errors.Is(err, redis.Nil):
			results[i].State = Fresh
		case err != nil:
			results[i].Err = explain(err)
		case value == sent:
			results[i].State = Sent
		default:
			contested = append(contested, i)
		}
	}
	s.contest(ctx, claims, contested, results)
	return results
}

// contestScript answers a claim on a key that has an owner, in one step, so
// that a take-over and its owner's return cannot cross. What is the asker's own
// begins its time anew. The claim of an earlier delivery is inherited when its
// lease is over, and that of another message after the takeover time. Where the
// window has been made shorter, a claim's time begins now.
const contestScript = `
local value = redis.call('GET', KEYS[1])
local mine, inherited, replaces = ARGV[1], ARGV[1] .. ' ?', ARGV[2]
local window, lease, takeover = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local function owner(claim) return string.match(claim, '^%S+') end
if value == '1' then
  return 'sent'
elseif value == mine or value == inherited then
  redis.call('PEXPIRE', KEYS[1], window)
  return value == mine and 'fresh' or 'inherited before'
elseif not value or owner(value) == replaces then
  redis.call('SET', KEYS[1], mine, 'PX', window)
  return 'fresh'
end
local left = redis.call('PTTL', KEYS[1])
if left > window then
  redis.call('PEXPIRE', KEYS[1], window)
elseif window - left >= (owner(value) == owner(mine) and lease or takeover) then
  redis.call('SET', KEYS[1], inherited, 'PX', window)
  return 'inherited'
end
return 'held'`

func (s *Store) contest(ctx context.Context, claims []Claim, contested []int, results []Result) {
	if len(contested) == 0 {
		return
	}
	subset := make([]Claim, len(contested))
	for i, at := range contested {
		subset[i] = claims[at]
	}
	cmds := s.pipeline(ctx, func(pipe redis.Pipeliner) {
		for _, c := range subset {
			pipe.Eval(ctx, contestScript, []string{string(c.Key[:])}, c.value(), int64(c.Replaces),
				s.cfg.Window.Milliseconds(), s.lease.Milliseconds(), s.cfg.Takeover.Milliseconds())
		}
	})
	for i, cmd := range cmds {
		text, err := cmd.(*redis.Cmd).Text()
		if err != nil {
			results[contested[i]] = Result{Err: explain(err)}
			continue
		}
		results[contested[i]].State = map[string]State{
			"fresh": Fresh, "inherited": Inherited, "inherited before": InheritedBefore, "held": Held, "sent": Sent,
		}[text]
	}
}

// Confirm remembers the events as sent, whoever has the claim by now: they
// were sent. It returns the claims that could not be confirmed, and why.
func (s *Store) Confirm(ctx context.Context, claims []Claim) ([]Claim, error) {
	cmds := s.pipeline(ctx, func(pipe redis.Pipeliner) {
		set := newSets(claims, func(_ Claim, text []byte) []byte { return append(text, sent...) })
		for i := range claims {
			_ = pipe.Process(ctx, set.next(ctx, s.cfg.Window+claims[i].Remember))
		}
	})
	return failed(claims, cmds)
}

const releaseScript = `
local value = redis.call('GET', KEYS[1])
if value == ARGV[1] or ARGV[2] == '1' and value == ARGV[1] .. ' ?' then
  return redis.call('DEL', KEYS[1])
end
return 0`

// Release gives the claims up, each only if it is still this delivery's. It
// returns the claims that could not be released, and why.
func (s *Store) Release(ctx context.Context, claims []Claim) ([]Claim, error) {
	cmds := s.pipeline(ctx, func(pipe redis.Pipeliner) {
		for _, c := range claims {
			pipe.Eval(ctx, releaseScript, []string{string(c.Key[:])}, c.value(), c.Doubtful)
		}
	})
	return failed(claims, cmds)
}

// Check claims and releases a key of its own: it fails where Redis cannot be
// reached, is older than 7.0, refuses writes, or forbids a command we need.
func (s *Store) Check(ctx context.Context) error {
	now := uint64(time.Now().UnixNano())
	probe := Claim{Key: NewKey("capi-dispatcher", "check"), Owner: NewOwner(1, now), Holder: NewHolder()}
	rival := probe
	rival.Owner = NewOwner(1, now+1)
	// To claim again, and what another has, needs commands of its own.
	for _, claim := range []Claim{probe, probe, rival} {
		if result := s.Claim(ctx, []Claim{claim})[0]; result.State == Failed {
			return result.Err
		}
	}
	_, err := s.Release(ctx, []Claim{probe})
	return err
}

func failed(claims []Claim, cmds []redis.Cmder) ([]Claim, error) {
	var left []Claim
	var first error
	for i, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			left = append(left, claims[i])
			if first == nil {
				first = explain(err)
			}
		}
	}
	return left, first
}

// ErrLogin says that Redis does not let the client in.
var ErrLogin = errors.New("redis refuses the user name or password")

// explain adds what to do to the errors that an operator can mend.
func explain(err error) error {
	switch {
	case redis.HasErrorPrefix(err, "syntax error"):
		return fmt.Errorf("redis is older than 7.0, which the dispatcher needs: %w", err)
	case redis.HasErrorPrefix(err, "OOM"):
		return fmt.Errorf("redis is full; raise maxmemory, with maxmemory-policy noeviction: %w", err)
	case isForbidden(err):
		return fmt.Errorf("the redis user needs ~* +get +set +del +pexpire +pttl +eval +client|setname, +select for a database other than 0, "+
			"and +cluster|slots +command in a cluster (see docs/security.md, Rights in Redis): %w", err)
	case redis.HasErrorPrefix(err, "NOAUTH"), redis.HasErrorPrefix(err, "WRONGPASS"):
		return fmt.Errorf("%w: %w", ErrLogin, err)
	case redis.HasErrorPrefix(err, "READONLY"):
		return fmt.Errorf("redis is a read-only replica; use the primary, Sentinel or Cluster: %w", err)
	default:
		return fmt.Errorf("redis: %w", err)
	}
}

// isForbidden reports whether the user lacks a right on a command, of which a
// script's own commands are denied in other words (Redis 7.0, and since 7.2).
func isForbidden(err error) bool {
	text := err.Error()
	return redis.HasErrorPrefix(err, "NOPERM") ||
		strings.Contains(text, "The user executing the script can't") || strings.Contains(text, "ACL failure in script")
}
