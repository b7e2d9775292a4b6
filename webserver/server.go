package webserver

import (
	"log/slog"
	"net/http"
	"time"
)

// The edge's limits. The standard library's defaults are no timeout at all
// and a mebibyte of headers, which lets a few slow clients hold everything.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 15 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	maxStreams        = 100
)

// NewHTTPServer returns an HTTP server for h with limits against slow and
// greedy clients. Uploads extend them by themselves. HTTP/2 is spoken over
// TLS only. What the server itself has to complain of, such as failed TLS
// handshakes, goes to log.
func NewHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
