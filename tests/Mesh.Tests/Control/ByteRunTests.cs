// SPDX-License-Identifier: Apache-2.0

using System.Buffers;
using MessagePack;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Control;

/// <summary>Byte strings in a row are read as the library reads them, and what is none is left to it.</summary>
public sealed class ByteRunTests
{
    private const int Most = 70_000;

    [Fact]
    public void Strings_of_every_length_come_in_place_and_the_reader_goes_on_behind_them()
    {
        int[] lengths = [0, 1, 255, 256, 65_535, 65_536, Most, 7];
        byte[] frame = Written((ref MessagePackWriter writer) =>
        {
            writer.Write(12_345);
            foreach (int length in lengths)
                writer.Write(Filled(length));
            writer.Write("after");
        });
        var reader = new MessagePackReader(frame);
        Assert.Equal(12_345, reader.ReadInt32());
        var run = new ByteRun(reader);
        foreach (int length in lengths)
        {
            Assert.True(run.TryRead(Most, out var bytes));
            Assert.True(bytes.SequenceEqual(Filled(length)));
            Assert.True(bytes.SequenceEqual(frame.AsSpan(run.Position - length, length)));
        }

        Assert.False(run.TryRead(Most, out _));
        run.End(ref reader);
        Assert.Equal("after", reader.ReadString());
        Assert.True(reader.End);
    }

    [Theory]
    [InlineData(new byte[] { })]
    [InlineData(new byte[] { 0xC4 })]
    [InlineData(new byte[] { 0xC4, 2, 1 })]
    [InlineData(new byte[] { 0xC5, 0 })]
    [InlineData(new byte[] { 0xC5, 0, 2, 1 })]
    [InlineData(new byte[] { 0xC6, 0, 0, 0 })]
    [InlineData(new byte[] { 0xC6, 0xFF, 0xFF, 0xFF, 0xFF, 1 })]
    [InlineData(new byte[] { 0xC6, 0x7F, 0xFF, 0xFF, 0xFF, 1 })]
    [InlineData(new byte[] { 0xC6, 0x80, 0, 0, 0, 1 })]
    [InlineData(new byte[] { 0xC4, 4, 1, 2, 3, 4 })]
    [InlineData(new byte[] { 0xC0 })]
    [InlineData(new byte[] { 0xA1, 65 })]
    [InlineData(new byte[] { 0x91, 1 })]
    public void What_is_none_or_too_long_or_cut_off_is_left_to_the_reader(byte[] frame)
    {
        var reader = new MessagePackReader(frame);
        var run = new ByteRun(reader);
        Assert.False(run.TryRead(3, out var bytes));
        Assert.True(bytes.IsEmpty);
        run.End(ref reader);
        Assert.Equal(0, reader.Consumed);
    }

    [Fact]
    public void A_frame_in_pieces_is_left_to_the_reader()
    {
        byte[] frame = [0xC4, 2, 1, 2];
        var last = new Piece(frame.AsMemory(3), 3, null);
        var first = new Piece(frame.AsMemory(0, 3), 0, last);
        var reader = new MessagePackReader(new ReadOnlySequence<byte>(first, 0, last, 1));
        var run = new ByteRun(reader);
        Assert.False(run.TryRead(Most, out _));
        run.End(ref reader);
        Assert.Equal([1, 2], Wire.ReadBytes(ref reader, Most));
    }

    private static byte[] Filled(int length)
    {
        byte[] bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }

    private delegate void Writing(ref MessagePackWriter writer);

    private static byte[] Written(Writing write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        write(ref writer);
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(ReadOnlyMemory<byte> memory, long index, Piece? next)
        {
            Memory = memory;
            RunningIndex = index;
            Next = next;
        }
    }
}
