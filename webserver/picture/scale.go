package picture

import (
	"image"
	"math"

	"golang.org/x/image/draw"
)

// fit returns img scaled down so that neither side exceeds side, never up.
//
// A large image is first shrunk by a whole factor, by averaging: that costs a
// few nanoseconds a pixel, where the better filter costs hundreds and memory in
// proportion. The filter does the rest, at most a factor of two.
func fit(img image.Image, side int) *image.RGBA {
	size := img.Bounds().Size()
	longest := max(size.X, size.Y)
	small := shrink(img, max(1, longest/side))
	if longest <= side {
		return small
	}
	dst := image.NewRGBA(image.Rect(0, 0, scaled(size.X, side, longest), scaled(size.Y, side, longest)))
	if small.Rect == dst.Rect {
		return small
	}
	draw.CatmullRom.Scale(dst, dst.Rect, small, small.Rect, draw.Src, nil)
	return dst
}

// scaled returns n x side / longest, rounded, and at least 1.
func scaled(n, side, longest int) int {
	return max(1, int(math.Round(float64(n)*float64(side)/float64(longest))))
}

// shrink returns img with each square of factor x factor pixels made one, the
// squares at the right and the bottom being smaller where they must. It turns
// a few rows at a time into RGBA, with the fast paths of package draw for each
// kind of image. Averages are of premultiplied colours, so that transparent
// pixels count for nothing.
func shrink(img image.Image, factor int) *image.RGBA {
	b := img.Bounds()
	if factor == 1 {
		dst := image.NewRGBA(image.Rectangle{Max: b.Size()})
		draw.Draw(dst, dst.Rect, img, b.Min, draw.Src)
		return dst
	}
	dst := image.NewRGBA(image.Rect(0, 0, (b.Dx()+factor-1)/factor, (b.Dy()+factor-1)/factor))
	band := image.NewRGBA(image.Rect(0, 0, b.Dx(), factor))
	for y := range dst.Rect.Dy() {
		top := y * factor
		rows := image.Rect(0, 0, b.Dx(), min(factor, b.Dy()-top))
		draw.Draw(band, rows, img, b.Min.Add(image.Pt(0, top)), draw.Src)
		averageRow(dst.Pix[y*dst.Stride:], band, rows, factor)
	}
	return dst
}

// averageRow makes one row of the squares in the upper part of band.
func averageRow(dst []byte, band *image.RGBA, rows image.Rectangle, factor int) {
	for left := 0; left < rows.Dx(); left += factor {
		right := min(left+factor, rows.Dx())
		var sum [4]uint64
		for y := range rows.Dy() {
			row := band.Pix[y*band.Stride:][4*left : 4*right]
			for ; len(row) >= 4; row = row[4:] {
				sum[0] += uint64(row[0])
				sum[1] += uint64(row[1])
				sum[2] += uint64(row[2])
				sum[3] += uint64(row[3])
			}
		}
		n := uint64((right - left) * rows.Dy())
		for c := range sum {
			dst[c] = byte((sum[c] + n/2) / n)
		}
		dst = dst[4:]
	}
}

// upright returns img turned as its orientation says, 1 to 8: where its first
// row and its first column belong. 1 is top and left, so upright already; 6, for
// example, is right and top.
func upright(img *image.RGBA, orientation int) *image.RGBA {
	if orientation == 1 {
		return img
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	size := image.Pt(w, h)
	if orientation >= 5 {
		size = image.Pt(h, w)
	}
	dst := image.NewRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			from := source(orientation, x, y, w-1, h-1)
			copy(dst.Pix[dst.PixOffset(x, y):][:4], img.Pix[img.PixOffset(from.X, from.Y):])
		}
	}
	return dst
}

// source returns where the upright pixel at x, y is found in an image of the
// given orientation whose last column and row are right and bottom.
func source(orientation, x, y, right, bottom int) image.Point {
	switch orientation {
	case 2: // top, right: mirrored
		return image.Pt(right-x, y)
	case 3: // bottom, right: upside down
		return image.Pt(right-x, bottom-y)
	case 4: // bottom, left: upside down and mirrored
		return image.Pt(x, bottom-y)
	case 5: // left, top: mirrored along the diagonal
		return image.Pt(y, x)
	case 6: // right, top: a quarter turn to the left
		return image.Pt(y, bottom-x)
	case 7: // right, bottom: mirrored along the other diagonal
		return image.Pt(right-y, bottom-x)
	case 8: // left, bottom: a quarter turn to the right
		return image.Pt(right-y, x)
	}
	return image.Pt(x, y)
}
