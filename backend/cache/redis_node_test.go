package cache_test

import (
	"errors"
	"testing"

	"gatehouse/backend/cache"
	"gatehouse/internal/testenv"
)

func TestRedisThatStartedAgainIsAStranger(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t)
	url := server.NewKeyspace(t).URL()
	open := func(nodes ...string) *cache.Redis {
		r, err := cache.OpenRedis(url, nodes...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	node, err := open().Node(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := open(node)
	if err := known.Ping(t.Context()); err != nil {
		t.Errorf("the node of the epoch: %v", err)
	}
	if err := open("another:one").Ping(t.Context()); !errors.Is(err, cache.ErrStranger) {
		t.Errorf("a node of another epoch: %v", err)
	}
	server.Restart(t)
	testenv.WaitFor(t, patience, "its refusal", func() bool { return errors.Is(known.Ping(t.Context()), cache.ErrStranger) })
	if again, err := open().Node(t.Context()); err != nil || again == node {
		t.Errorf("after a restart it is %q as before (%v)", again, err)
	}
}

func TestAReplicaIsNoNode(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t)
	keyspace := server.NewKeyspace(t)
	r, err := cache.OpenRedis(keyspace.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	node, err := r.Node(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keyspace.Do(t, "REPLICAOF", "127.0.0.1", "1")
	if again, err := r.Node(t.Context()); err == nil {
		t.Errorf("a replica calls itself %q, as the master did %q", again, node)
	}
}
