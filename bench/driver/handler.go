package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"gatehouse/stresstest"
)

// account is the one that both drivers ask for.
const account = 1

// sessionKey is that of the session which both drivers show.
var sessionKey = []byte("the key of a comparison")

// startHandler starts this program as the handler and returns its address.
func startHandler() (*exec.Cmd, string, error) {
	cmd := exec.Command(os.Args[0], "-role", "handler")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", fmt.Errorf("start handler: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start handler: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("start handler: %w", err), cmd.Process.Kill(), cmd.Wait())
	}
	return cmd, strings.TrimSpace(line), nil
}

// serve answers every request with the profile of the account, and so does
// next to nothing: what is measured is the drivers.
func serve() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	body := fmt.Sprintf(`{"id":"%d","username":"%s","nickname":"%s","picture_url":null,"version":1,"created_at":"2026-01-01T00:00:00Z"}`+"\n",
		account, stresstest.Username(account), stresstest.Nickname(account))
	fmt.Printf("http://%s\n", l.Addr())
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// A driver that went away early is counted by itself.
		_, _ = io.WriteString(w, body)
	})}
	return server.Serve(l)
}
