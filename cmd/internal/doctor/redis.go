package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
)

func (r *report) examineRedis(ctx context.Context, cfg *config.Config, client redis.UniversalClient) {
	if err := dedupe.New(cfg.Dedupe.Config, cfg.NATS.ClaimLease(), client).Check(ctx); err != nil {
		advice := "nothing is sent without claims"
		if errors.Is(err, dedupe.ErrLogin) {
			advice = "check redis.user and redis.password_file; " + advice
		}
		r.fault("redis", err.Error(), advice)
		return
	}
	r.ok("redis", "events can be claimed and released")
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		r.examineServer(ctx, client, "redis")
		return
	}
	// Each master has settings of its own, and they are asked all at once.
	var mu sync.Mutex
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		var own report
		own.examineServer(ctx, master, "redis "+master.Options().Addr)
		mu.Lock()
		defer mu.Unlock()
		r.findings = append(r.findings, own.findings...)
		return nil
	})
	if err != nil {
		r.fault("redis", err.Error(), "check that every master of the cluster can be reached")
	}
}

// examineServer looks at one server. INFO tells most of it; CONFIG GET, which
// managed services forbid, the rest.
func (r *report) examineServer(ctx context.Context, client redis.Cmdable, check string) {
	text, err := client.Info(ctx).Result()
	if err != nil {
		r.warn(check, "INFO is refused: eviction, persistence and role cannot be seen: "+err.Error(),
			"allow +info, or look for yourself: maxmemory-policy noeviction, appendonly yes")
		return
	}
	info := parseInfo(text)
	if info["role"] == "slave" {
		r.fault(check, "is a read-only replica", "connect to the primary, by Sentinel or Cluster")
	}
	r.examineEviction(ctx, client, check+" eviction", info)
	r.examinePersistence(ctx, client, check+" persistence", info)
	if info["connected_slaves"] != "0" && info["role"] == "master" {
		r.examineReplication(ctx, client, check+" replicas", info["connected_slaves"])
	}
	if info["connected_slaves"] == "0" && info["role"] == "master" {
		r.warn(check+" replicas", "none: while this server is away, nothing is sent",
			"run a replica with Sentinel, or accept the wait: no event is lost by it")
	}
}

func (r *report) examineEviction(ctx context.Context, client redis.Cmdable, check string, info map[string]string) {
	policy := info["maxmemory_policy"]
	if policy == "" {
		var err error
		if policy, err = setting(ctx, client, "maxmemory-policy"); err != nil {
			r.warn(check, "cannot be seen: INFO does not tell, and CONFIG GET is refused: "+err.Error(),
				"see to it that maxmemory-policy is noeviction")
			return
		}
	}
	if policy != "noeviction" {
		r.fault(check, "maxmemory-policy is "+policy+": a full Redis forgets what was sent, and copies pass",
			"set maxmemory-policy noeviction")
		return
	}
	r.ok(check, "noeviction; maxmemory %s, used %s", orUnlimited(info["maxmemory_human"]), info["used_memory_human"])
}

// examinePersistence looks for what a crash of Redis may forget. That loses no
// event, but lets copies pass.
func (r *report) examinePersistence(ctx context.Context, client redis.Cmdable, check string, info map[string]string) {
	const advice = "set appendonly yes and appendfsync everysec"
	if info["aof_enabled"] == "1" {
		fsync, err := setting(ctx, client, "appendfsync")
		if err != nil {
			fsync = "unknown (CONFIG GET is refused)"
		}
		r.ok(check, "append-only file, appendfsync %s", fsync)
		return
	}
	snapshots, err := setting(ctx, client, "save")
	switch {
	case err != nil:
		r.warn(check, "no append-only file; whether there are snapshots cannot be seen (CONFIG GET is refused)", advice)
	case snapshots == "":
		r.fault(check, "none: a restart of Redis forgets what was sent, and copies pass", advice)
	default:
		r.warn(check, fmt.Sprintf("snapshots only (save %q): a crash forgets what was sent since the last", snapshots),
			advice)
	}
}

// examineReplication looks at what bounds how much a failover may forget.
func (r *report) examineReplication(ctx context.Context, client redis.Cmdable, check, replicas string) {
	const advice = "set min-replicas-to-write 1 and min-replicas-max-lag to the seconds that a failover may forget: writes wait while no replica is near"
	least, err := setting(ctx, client, "min-replicas-to-write")
	switch {
	case err != nil:
		r.warn(check, replicas+"; whether a failover's loss is bounded cannot be seen (CONFIG GET is refused)", advice)
	case least == "0" || least == "":
		r.warn(check, replicas+", and min-replicas-to-write is 0: a failover to one that has fallen behind forgets what was sent since, and copies pass", advice)
	default:
		r.ok(check, "%s, and writes wait for %s", replicas, least)
	}
}

func setting(ctx context.Context, client redis.Cmdable, name string) (string, error) {
	settings, err := client.ConfigGet(ctx, name).Result()
	if err != nil {
		return "", err
	}
	return settings[name], nil
}

// parseInfo reads the lines "name:value" of INFO.
func parseInfo(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

func orUnlimited(size string) string {
	if size == "" || size == "0B" {
		return "unlimited"
	}
	return size
}
