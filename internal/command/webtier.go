package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/monitoring"
	"gatehouse/protocol"
	"gatehouse/webserver"
	"gatehouse/webserver/picture"
)

// webTier is tier 1 at work.
type webTier struct {
	*httpTier
	backend *webserver.Backend
	server  *webserver.Server
	url     string
	log     *slog.Logger
	sweep   context.CancelFunc
	swept   sync.WaitGroup
}

// webSettings are what tier 1 is made of.
type webSettings struct {
	data         string
	http         httpFlags
	pool         poolFlags
	targets      []string
	key          []byte
	tls          *tls.Config
	registration string
	passwordMin  int
}

const (
	// sweepEvery is the pause between two searches for pictures that nothing
	// points at.
	sweepEvery = time.Hour
	// sweepTimeout bounds one search; the next goes on where it stopped.
	sweepTimeout = 10 * time.Minute
	// orphanAge is how old such a picture must be, so that none is taken that
	// was stored and not pointed at yet.
	orphanAge = time.Hour
)

// check tells what is wrong with the settings of the HTTP side.
func (f httpFlags) check() error {
	if (f.HTTPTLSCert == "") != (f.HTTPTLSKey == "") {
		return usage("--http-tls-cert and --http-tls-key belong together: one of the two is set")
	}
	public, err := f.public(f.HTTP)
	if err != nil {
		return err
	}
	if !loopback(f.HTTP) && f.HTTPTLSCert == "" && public.Scheme != "https" && !f.InsecureHTTP {
		return usage("--http %s can be reached from other machines, where passwords would travel in the clear: "+
			"set --http-tls-cert and --http-tls-key, or --public-url https://… behind a proxy with TLS, or --insecure-http to accept it", f.HTTP)
	}
	if _, err = f.proxies(); err != nil {
		return err
	}
	_, err = f.picturesDir("")
	return err
}

// public is where people reach the service that listens on address.
func (f httpFlags) public(address string) (*url.URL, error) {
	if f.PublicURL == "" {
		scheme := "http"
		if f.HTTPTLSCert != "" {
			scheme = "https"
		}
		return &url.URL{Scheme: scheme, Host: address}, nil
	}
	u, err := url.Parse(f.PublicURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, usage("--public-url %q: want http://HOST or https://HOST, without a path", f.PublicURL)
	}
	return u, nil
}

func (f httpFlags) proxies() ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, text := range f.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); err != nil && addrErr == nil {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, usage("--trusted-proxies %q: want a network such as 10.0.0.0/8", text)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

// picturesURL is --pictures, or the embedded default.
func (f httpFlags) picturesURL(data string) string {
	if f.Pictures != "" {
		return f.Pictures
	}
	return "disk:" + filepath.Join(data, "pictures")
}

// picturesDir is the folder that --pictures names.
func (f httpFlags) picturesDir(data string) (string, error) {
	target := f.picturesURL(data)
	dir, ok := strings.CutPrefix(target, "disk:")
	if !ok || dir == "" {
		return "", usage("--pictures %q: want disk:DIR", target)
	}
	return dir, nil
}

// openWeb puts tier 1 together.
func openWeb(s webSettings, metrics *monitoring.Metrics, log *slog.Logger) (_ *webTier, err error) {
	if err := s.http.check(); err != nil {
		return nil, err
	}
	t := &webTier{log: log}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	t.backend, err = webserver.OpenBackend(webserver.BackendConfig{
		Targets: s.targets, Conns: s.pool.PoolSize, InFlight: s.pool.PoolInFlight,
		Link: protocol.Config{Name: "webserver/" + version, Key: s.key, TLS: s.tls, Hooks: protocol.Hooks{
			LateReply: metrics.LateReply,
			CrossTalk: func(err error) {
				metrics.CrossTalk()
				log.Error("a reply was not its call's; the connection is closed", "error", err)
			},
			Sent: func(typ string, took time.Duration) {
				metrics.Stage(monitoring.Webserver, monitoring.StageSend, typ, took)
			},
			Answered: func(typ string, took time.Duration) {
				metrics.Stage(monitoring.Webserver, monitoring.StageRoundTrip, typ, took)
			},
		}},
		Got: func(typ string, waited time.Duration) {
			metrics.Stage(monitoring.Webserver, monitoring.StagePoolGet, typ, waited)
		},
		Put: func(typ string, took time.Duration) {
			metrics.Stage(monitoring.Webserver, monitoring.StagePoolPut, typ, took)
		},
	})
	if err != nil {
		return nil, usage("--backend: %w", err)
	}
	metrics.WatchPool(t.backend.Stats)
	// The address that was really taken is what a person can click, so that
	// listening comes first.
	if t.httpTier, err = newHTTPTier("http", s.http.HTTP, nil, log); err != nil {
		return nil, err
	}
	public, err := s.http.public(target(t.listener.Addr()))
	if err != nil {
		return nil, err
	}
	t.url = public.String()
	if t.server, err = newWebserver(s, public, t.backend, metrics, log); err != nil {
		return nil, err
	}
	t.httpTier.server.Handler = t.server
	if s.http.HTTPTLSCert != "" {
		if err := t.serveTLS(s.http); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.sweep = cancel
	t.swept.Go(func() { t.sweepPictures(ctx) })
	return t, nil
}

func newWebserver(s webSettings, public *url.URL, caller protocol.Caller, metrics *monitoring.Metrics, log *slog.Logger) (*webserver.Server, error) {
	proxies, err := s.http.proxies()
	if err != nil {
		return nil, err
	}
	dir, err := s.http.picturesDir(s.data)
	if err != nil {
		return nil, err
	}
	pictures, err := picture.OpenDisk(dir)
	if err != nil {
		return nil, fmt.Errorf("--pictures: %w", err)
	}
	return webserver.New(webserver.Config{
		Backend: caller, Pictures: pictures, Processor: picture.NewProcessor(picture.Config{}),
		PublicURL: public, OnlyPublicHost: s.http.PublicURL != "", TrustedProxies: proxies,
		Registration: webserver.Registration(s.registration), PasswordMin: s.passwordMin, Log: log,
		Hooks: webserver.Hooks{Panic: metrics.Panic, Request: func(o webserver.Observation) {
			metrics.Request(o.Route, o.Method, strconv.Itoa(o.Status))
			metrics.Stage(monitoring.Webserver, monitoring.StageHTTP, o.Method+" "+o.Route, o.Duration)
		}, Stage: func(stage, op string, took time.Duration) {
			metrics.Stage(monitoring.Webserver, stage, op, took)
		}},
	})
}

// serveTLS puts TLS on the listener.
func (t *webTier) serveTLS(f httpFlags) error {
	pair := &keyPair{cert: f.HTTPTLSCert, key: f.HTTPTLSKey}
	if _, err := pair.load(); err != nil {
		return fmt.Errorf("--http-tls-cert: %w", err)
	}
	t.listener = tls.NewListener(t.listener, &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.load() },
	})
	return nil
}

// checks are what /readyz looks at in tier 1.
func (t *webTier) checks() []monitoring.Check {
	return []monitoring.Check{{Name: "backend", Check: func(context.Context) (string, error) {
		if !t.backend.Ready() {
			return "", errors.New("no connection to any backend")
		}
		return "", nil
	}}}
}

// sweepPictures removes pictures that nothing points at until ctx ends.
func (t *webTier) sweepPictures(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		deleted, err := t.sweepOnce(ctx)
		if err != nil && ctx.Err() == nil {
			warn(t.log, "pictures not swept: %v", err)
		}
		if deleted > 0 {
			t.log.Info("pictures that nothing points at were deleted", "pictures", deleted)
		}
	}
}

func (t *webTier) sweepOnce(ctx context.Context) (deleted int, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	return t.server.SweepPictures(ctx, orphanAge)
}

// stop ends the taking of requests, waits for those in progress and then
// for the calls behind them.
func (t *webTier) stop() error {
	err := t.httpTier.stop()
	t.sweep()
	t.swept.Wait()
	return errors.Join(err, t.close())
}

// close ends what has been put together so far.
func (t *webTier) close() error {
	if t.httpTier != nil {
		t.listener.Close() // again, where serving has ended before
	}
	if t.backend == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), linkGrace)
	defer cancel()
	return t.backend.Close(ctx)
}
