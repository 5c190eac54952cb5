// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Cuda.Copies;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.TestSupport;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>Bytes go to devices and come back as they were, whatever their shape and the driver's ways.</summary>
public sealed class CopyTests
{
    private const int Chunk = CopyLane.SlotBytes;

    [Theory]
    [InlineData(1)]
    [InlineData(4095)]
    [InlineData(1 << 16)]
    [InlineData(Chunk - 1)]
    [InlineData(Chunk)]
    [InlineData(Chunk + 1)]
    [InlineData((2 * Chunk) + 17)]
    [InlineData((3 * Chunk) + 333)]
    [InlineData(64 << 20)]
    public void What_was_written_is_read(int length)
    {
        using var cuda = new CudaDouble();
        byte[] bytes = Bytes.Mixed(length);
        using (var memory = cuda.Open())
        using (var block = memory.Block(length))
        {
            var source = new GivenBytes(bytes);
            Bytes.Is(DeviceEnd.Done, memory.Write([block.All()], source, default, Bytes.Long));
            Assert.Equal(length, source.Given);
            Assert.True(bytes.AsSpan().SequenceEqual(cuda.Peek(block.Address, length)));
            var sink = new TakenBytes(length);
            Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], sink, default, Bytes.Long));
            Assert.Equal(length, sink.Taken);
            Assert.True(bytes.AsSpan().SequenceEqual(sink.Bytes));
        }

        Assert.Equal("", cuda.Left);
    }

    [Theory]
    [InlineData("", "cuMemcpyBatchAsync", 1, 5000)]
    [InlineData("", "cuMemcpyBatchAsync", 7, 333)]
    [InlineData("", "cuMemcpyBatchAsync", 4000, 4096)]
    [InlineData("", "cuMemcpyBatchAsync", 100, 65536)]
    [InlineData("NO_BATCH", "cuLaunchKernel", 2, 5000)]
    [InlineData("NO_BATCH", "cuLaunchKernel", 7, 333)]
    [InlineData("NO_BATCH", "cuLaunchKernel", 4000, 4096)]
    [InlineData("NO_BATCH NO_KERNEL", "cuMemcpyDtoHAsync_v2", 7, 333)]
    [InlineData("NO_BATCH NO_KERNEL", "cuMemcpyDtoHAsync_v2", 4000, 4096)]
    public void Scattered_pages_are_read_as_one(string definitions, string call, int count, int length)
    {
        using var cuda = new CudaDouble(definitions);
        using (var memory = cuda.Open())
        using (var block = memory.Block((long)count * length * 2))
        {
            byte[] bytes = Bytes.Mixed(count * length);
            DeviceRange[] pages = Scattered(block, count, length);
            var source = new GivenBytes(bytes);
            Bytes.Is(DeviceEnd.Done, memory.Write(pages, source, default, Bytes.Long));
            int first = Array.FindIndex(pages, page => page.Address == block.Address);
            Assert.Equal(bytes[(first * length)..((first + 1) * length)], cuda.Peek(block.Address, length));
            var sink = new TakenBytes(bytes.Length);
            Bytes.Is(DeviceEnd.Done, memory.Read(pages, sink, default, Bytes.Long));
            Assert.True(bytes.AsSpan().SequenceEqual(sink.Bytes));
            if (count >= 4)
                Assert.InRange(cuda.Calls(call), 1, int.MaxValue);
        }

        Assert.Equal("", cuda.Left);
    }

    [Theory]
    [InlineData("")]
    [InlineData("NO_BATCH")]
    [InlineData("NO_BATCH NO_KERNEL")]
    public void Lists_of_any_lengths_are_copied(string definitions)
    {
        using var cuda = new CudaDouble(definitions);
        using var memory = cuda.Open();
        using var block = memory.Block(32 << 20);
        var random = new Random(7);
        for (int round = 0; round < 6; round++)
        {
            var ranges = new List<DeviceRange>();
            long at = 0;
            for (int i = random.Next(1, 60); i > 0; i--)
            {
                int length = random.Next(5) switch
                {
                    0 => 0,
                    1 => random.Next(64),
                    2 => Chunk,
                    _ => random.Next(100_000),
                };
                if (at + length > block.Length)
                    break;
                ranges.Add(new DeviceRange(block.Address + (nint)at, length));
                at += length + (random.Next(2) * random.Next(9));
            }

            int total = (int)ranges.Sum(range => range.Length);
            byte[] bytes = Bytes.Mixed(total, round);
            Bytes.Is(DeviceEnd.Done, memory.Write([.. ranges], new GivenBytes(bytes), default, Bytes.Long));
            var sink = new TakenBytes(total);
            Bytes.Is(DeviceEnd.Done, memory.Read([.. ranges], sink, default, Bytes.Long));
            Assert.True(bytes.AsSpan().SequenceEqual(sink.Bytes), $"round {round}");
        }
    }

    [Fact]
    public void Neighbours_are_one_piece()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        using var block = memory.Block(1 << 20);
        DeviceRange[] pages =
            [.. Enumerable.Range(0, 16).Select(i => new DeviceRange(block.Address + (i << 16), 1 << 16))];
        Bytes.Is(DeviceEnd.Done, memory.Read(pages, new TakenBytes(1 << 20), default, Bytes.Long));
        Assert.Equal((1, 0), (cuda.Calls("cuMemcpyDtoHAsync_v2"), cuda.Calls("cuMemcpyBatchAsync")));
    }

    [Fact]
    public void Nothing_is_copied_without_a_call()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        Bytes.Is(DeviceEnd.Done, memory.Read([], new TakenBytes(0), default, TimeSpan.Zero));
        Bytes.Is(DeviceEnd.Done, memory.Write([new DeviceRange(5, 0)], new GivenBytes([]), default, TimeSpan.Zero));
        Assert.Equal(0, cuda.Calls("cuDevicePrimaryCtxRetain"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(Chunk + 1)]
    [InlineData(3 * Chunk)]
    public void A_sink_or_a_source_may_stop(int at)
    {
        using var cuda = new CudaDouble();
        using (var memory = cuda.Open())
        using (var block = memory.Block(5 * Chunk))
        {
            cuda.Latency(2000);
            var sink = new TakenBytes(5 * Chunk, at);
            Bytes.Is(DeviceEnd.Stopped, memory.Read([block.All()], sink, default, Bytes.Long));
            var source = new GivenBytes(new byte[5 * Chunk], at);
            Bytes.Is(DeviceEnd.Stopped, memory.Write([block.All()], source, default, Bytes.Long));
            Assert.Equal((at + Chunk - 1) / Chunk * Chunk, sink.Taken);
            Assert.Equal(sink.Taken, source.Given);
            byte[] bytes = Bytes.Mixed(5 * Chunk);
            Bytes.Is(DeviceEnd.Done, memory.Write([block.All()], new GivenBytes(bytes), default, Bytes.Long));
            Assert.True(bytes.AsSpan().SequenceEqual(cuda.Peek(block.Address, bytes.Length)));
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void A_sink_that_throws_leaves_nothing_on_its_way()
    {
        using var cuda = new CudaDouble();
        using (var memory = cuda.Open())
        using (var block = memory.Block(5 * Chunk))
        {
            var sink = new TakenBytes(5 * Chunk, onTake: _ => throw new InvalidOperationException("mine"));
            Assert.Throws<InvalidOperationException>(() => memory.Read([block.All()], sink, default, Bytes.Long));
            Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], new TakenBytes(5 * Chunk), default, Bytes.Long));
            Assert.Equal(1, cuda.Calls("cuMemHostAlloc"));
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void The_next_chunk_is_on_its_way_while_one_is_taken()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        using var block = memory.Block(4 * Chunk);
        long before = cuda.Copies;
        var sink = new TakenBytes(4 * Chunk, onTake: offset =>
        {
            long wanted = before + Math.Min(4, (offset / Chunk) + 2);
            Assert.True(SpinWait.SpinUntil(() => cuda.Copies >= wanted, Bytes.Long));
        });
        Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], sink, default, Bytes.Long));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Memory_is_copied_within_a_device_and_to_another(int target)
    {
        using var cuda = new CudaDouble();
        using (var memory = cuda.Open())
        using (var from = memory.Block(3_000_000))
        using (var to = memory.Block(3_000_000, $"cuda:{target}"))
        {
            byte[] bytes = Bytes.Mixed(3_000_000);
            cuda.Poke(from.Address, bytes);
            for (int i = 0; i < 2; i++)
            {
                Bytes.Is(DeviceEnd.Done,
                    memory.Copy(new DeviceRange(from.Address + 1, 2_999_999), to.Address, default, Bytes.Long));
            }

            Assert.Equal(bytes[1..], cuda.Peek(to.Address, 2_999_999));
            Assert.Equal(target, cuda.Calls("cuCtxEnablePeerAccess"));
            Assert.Equal(target * 2, cuda.Calls("cuMemcpyPeerAsync"));
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void Devices_that_do_not_reach_each_other_copy_all_the_same()
    {
        using var cuda = new CudaDouble();
        cuda.Ways(canPeer: false);
        using var memory = cuda.Open();
        using var from = memory.Block(1 << 20);
        using var to = memory.Block(1 << 20, "cuda:1");
        Bytes.Is(DeviceEnd.Done, memory.Copy(from.All(), to.Address, default, Bytes.Long));
        Assert.Equal(0, cuda.Calls("cuCtxEnablePeerAccess"));
    }

    [Fact]
    public void Memory_that_may_have_holes_is_kept_from_the_kernel()
    {
        using var cuda = new CudaDouble("NO_BATCH");
        using var memory = cuda.Open();
        using var block = memory.Block(8 << 20);
        cuda.InPieces(block.Address);
        byte[] bytes = Bytes.Mixed(400 * 5000);
        DeviceRange[] pages = Scattered(block, 400, 5000);
        Bytes.Is(DeviceEnd.Done, memory.Write(pages, new GivenBytes(bytes), default, Bytes.Long));
        var sink = new TakenBytes(bytes.Length);
        Bytes.Is(DeviceEnd.Done, memory.Read(pages, sink, default, Bytes.Long));
        Assert.Equal(bytes, sink.Bytes);
        Assert.Equal(0, cuda.Calls("cuLaunchKernel"));
        Assert.InRange(cuda.Calls("cuMemcpyHtoDAsync_v2"), 400, 410);
    }

    [Fact]
    public void Batches_that_the_driver_knows_and_does_not_make_are_made_otherwise()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        using var block = memory.Block(8 << 20);
        cuda.Fail("cuMemcpyBatchAsync", 0, 801);
        byte[] bytes = Bytes.Mixed(300 * 5000);
        DeviceRange[] pages = Scattered(block, 300, 5000);
        Bytes.Is(DeviceEnd.Done, memory.Write(pages, new GivenBytes(bytes), default, Bytes.Long));
        var sink = new TakenBytes(bytes.Length);
        Bytes.Is(DeviceEnd.Done, memory.Read(pages, sink, default, Bytes.Long));
        Assert.Equal(bytes, sink.Bytes);
        Assert.Equal(1, cuda.Calls("cuMemcpyBatchAsync"));
    }

    [Fact]
    public void Copies_allocate_nothing_for_a_chunk()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        using var block = memory.Block(32 << 20);
        var ends = new Ends();
        long few = Allocated(memory, new DeviceRange(block.Address, Chunk), ends);
        long many = Allocated(memory, block.All(), ends);
        Assert.Equal(few, many);
    }

    private static long Allocated(CudaMemory memory, DeviceRange range, Ends ends) => Allocations.Of(() =>
    {
        Bytes.Is(DeviceEnd.Done, memory.Read([range], ends, default, Bytes.Long));
        Bytes.Is(DeviceEnd.Done, memory.Write([range], ends, default, Bytes.Long));
    });

    /// <summary>Every second page of a block, mixed.</summary>
    private static DeviceRange[] Scattered(IDeviceBlock block, int count, int length)
    {
        int[] order = [.. Enumerable.Range(0, count)];
        new Random(3).Shuffle(order);
        return [.. order.Select(i => new DeviceRange(block.Address + ((nint)i * 2 * length), length))];
    }

    private sealed class Ends : IChunkSink, IChunkSource
    {
        public bool Take(ReadOnlySpan<byte> bytes, long offset) => true;

        public bool Fill(Span<byte> bytes, long offset) => true;
    }
}
