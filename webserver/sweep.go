package webserver

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// SweepPictures deletes the stored pictures that no record points at, and
// tells how many. It spares those put within the last olderThan, at least an
// hour: their upload may still be on its way to the record. It stops at the
// first failure and leaves the rest to the next sweep.
func (s *Server) SweepPictures(ctx context.Context, olderThan time.Duration) (deleted int, err error) {
	if s.pictures == nil {
		return 0, nil
	}
	before := time.Now().Add(-max(olderThan, time.Hour))
	err = s.pictures.Walk(ctx, before, func(keys []string) error {
		for batch := range slices.Chunk(keys, packet.MaxPictureKeys) {
			n, err := s.sweep(ctx, batch, before)
			deleted += n
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return deleted, fmt.Errorf("sweep pictures: %w", err)
	}
	return deleted, nil
}

// sweep deletes those of some keys that are not in use.
func (s *Server) sweep(ctx context.Context, keys []string, before time.Time) (deleted int, err error) {
	used, err := packet.PicturesInUse.Call(ctx, s.backend, protocol.Meta{}, packet.PictureKeys{Keys: keys})
	if err != nil {
		return 0, fmt.Errorf("ask which of %d pictures are in use: %w", len(keys), err)
	}
	for _, key := range keys {
		if slices.Contains(used.Keys, key) {
			continue
		}
		if err := s.pictures.DeleteOlder(ctx, key, before); err != nil {
			return deleted, err
		}
		deleted++
	}
	return deleted, nil
}
