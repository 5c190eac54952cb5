// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>A copy comes after the work on the caller's stream, and before what is put there next.</summary>
public sealed class OrderTests
{
    private const int Length = 3_000_000;

    [Fact]
    public void A_read_sees_what_a_kernel_before_it_writes()
    {
        using var cuda = new CudaDouble();
        using (var stream = cuda.Stream(0))
        using (var memory = cuda.Open())
        using (var block = memory.Block(Length))
        {
            cuda.Slow(stream.Native, 150, block.Address, 7, Length);
            var sink = new TakenBytes(Length);
            Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], sink, new DeviceOrder(stream.Native), Bytes.Long));
            Assert.Equal(-1, sink.Bytes.AsSpan().IndexOfAnyExcept((byte)7));
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void A_write_comes_after_the_kernel_and_before_the_next()
    {
        using var cuda = new CudaDouble();
        using var stream = cuda.Stream(0);
        using var memory = cuda.Open();
        using var block = memory.Block(Length);
        byte[] bytes = Bytes.Mixed(Length);
        cuda.Slow(stream.Native, 150, block.Address, 7, Length);
        var order = new DeviceOrder(stream.Native);
        Bytes.Is(DeviceEnd.Done, memory.Write([block.All()], new GivenBytes(bytes), order, Bytes.Long));
        Assert.Equal(bytes, cuda.Peek(block.Address, Length));
        Assert.Equal(1, cuda.Calls("cuStreamWaitEvent"));
        cuda.Slow(stream.Native, 1, block.Address, 9, 10);
        Assert.True(SpinWait.SpinUntil(() => stream.IsIdle, Bytes.Long));
        Assert.Equal(9, cuda.Peek(block.Address, 1)[0]);
    }

    [Fact]
    public void A_copy_comes_after_the_kernel()
    {
        using var cuda = new CudaDouble();
        using var stream = cuda.Stream(0);
        using var memory = cuda.Open();
        using var from = memory.Block(Length);
        using var to = memory.Block(Length, "cuda:1");
        cuda.Slow(stream.Native, 100, from.Address, 7, Length);
        Bytes.Is(DeviceEnd.Done, memory.Copy(from.All(), to.Address, new DeviceOrder(stream.Native), Bytes.Long));
        Assert.Equal(-1, cuda.Peek(to.Address, Length).AsSpan().IndexOfAnyExcept((byte)7));
    }

    [Fact]
    public void Without_a_stream_nothing_is_waited_for()
    {
        using var cuda = new CudaDouble();
        using var stream = cuda.Stream(0);
        using var memory = cuda.Open();
        using var block = memory.Block(Length);
        cuda.Slow(stream.Native, 2000, block.Address, 7, 1);
        Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], new TakenBytes(Length), default, Bytes.Long));
        Assert.False(stream.IsIdle);
    }

    [Fact]
    public void Work_of_the_caller_that_takes_too_long_costs_no_device()
    {
        using var cuda = new CudaDouble();
        using var stream = cuda.Stream(0);
        using var memory = cuda.Open();
        using var block = memory.Block(Length);
        cuda.Slow(stream.Native, 1500, block.Address, 7, 1);
        long copies = cuda.Copies;
        var source = new GivenBytes(new byte[Length]);
        var outcome = memory.Write([block.All()], source, new DeviceOrder(stream.Native),
            TimeSpan.FromMilliseconds(20));
        Bytes.Is(DeviceEnd.Late, outcome);
        Assert.Equal("cuda:0: the work before it on the caller's stream has not ended within 20 ms; nothing was copied",
            outcome.Error!.Message);
        Assert.Equal((0, copies), (source.Given, cuda.Copies));
        Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], new TakenBytes(Length), default, Bytes.Long));
    }

    [Theory]
    [InlineData("read")]
    [InlineData("write")]
    [InlineData("copy")]
    public void A_copy_whose_stream_took_nearly_all_the_time_costs_no_device(string kind)
    {
        using var cuda = new CudaDouble();
        using var stream = cuda.Stream(0);
        var time = new BusyStreamTime(stream);
        using var memory = cuda.Open(time);
        using var block = memory.Block(Length);
        using var target = memory.Block(Length);
        cuda.Latency(20_000);
        cuda.Slow(stream.Native, 100, block.Address, 7, 1);
        time.IsSlow = true;
        var order = new DeviceOrder(stream.Native);
        // Of ten seconds the stream takes 9.5, and the copy 0.7.
        Bytes.Is(DeviceEnd.Done, kind switch
        {
            "read" => memory.Read([block.All()], new TakenBytes(Length), order, TimeSpan.FromSeconds(10)),
            "write" => memory.Write([block.All()], new GivenBytes(new byte[Length]), order, TimeSpan.FromSeconds(10)),
            _ => memory.Copy(block.All(), target.Address, order, TimeSpan.FromSeconds(10)),
        });
    }

    [Fact]
    public void A_stream_that_is_none_is_refused()
    {
        using var cuda = new CudaDouble();
        using var other = cuda.Stream(1);
        using var memory = cuda.Open();
        using var block = memory.Block(Length);
        var outcome = memory.Read([block.All()], new TakenBytes(Length), new DeviceOrder(other.Native), Bytes.Long);
        Bytes.Is(DeviceEnd.Failed, outcome);
        Assert.Equal("cuda:0: cuEventRecord: CUDA_ERROR_INVALID_HANDLE (400)", outcome.Error!.Message);
    }

    [Fact]
    public void A_stream_is_waited_for_alone_and_its_work_so_far()
    {
        using var cuda = new CudaDouble();
        using (var stream = cuda.Stream(0))
        using (var memory = cuda.Open())
        using (var block = memory.Block(Length))
        {
            foreach (nint native in (nint[])[stream.Native, DeviceOrder.DefaultStream])
            {
                cuda.Slow(native, 150, block.Address, 7, Length);
                long copies = cuda.Copies;
                Bytes.Is(DeviceEnd.Done, memory.Await("cuda:0", new DeviceOrder(native), Bytes.Long));
                Assert.Equal(copies + 1, cuda.Copies);
                Assert.Equal(7, cuda.Peek(block.Address, 1)[0]);
            }

            Bytes.Is(DeviceEnd.Done, memory.Await("cuda:0", default, Bytes.Long));
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void More_waits_than_lanes_hold_up_no_copy_and_cost_no_device()
    {
        using var cuda = new CudaDouble();
        using var stream = cuda.Stream(0);
        using var memory = cuda.Open();
        using var block = memory.Block(Length);
        cuda.Slow(stream.Native, 1500, block.Address, 7, 1);
        var late = memory.Await("cuda:0", new DeviceOrder(stream.Native), TimeSpan.FromMilliseconds(20));
        Bytes.Is(DeviceEnd.Late, late);
        Assert.Equal("cuda:0: the work on the caller's stream has not ended within 20 ms", late.Error!.Message);
        var waits = new Thread[12];
        for (int i = 0; i < waits.Length; i++)
        {
            waits[i] = new Thread(() =>
                Bytes.Is(DeviceEnd.Done, memory.Await("cuda:0", new DeviceOrder(stream.Native), Bytes.Long)));
            waits[i].Start();
        }

        Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], new TakenBytes(Length), default, Bytes.Long));
        foreach (var wait in waits)
            wait.Join();
        Assert.True(memory.UsageOf("cuda:0").Succeeded);
    }

    [Fact]
    public void Without_a_device_named_it_is_that_of_the_thread()
    {
        using var cuda = new CudaDouble();
        using var stream = cuda.Stream(1);
        using var memory = cuda.Open();
        var own = new DeviceOrder(stream.Native);
        var byDefault = new DeviceOrder(DeviceOrder.DefaultStream);
        Bytes.Is(DeviceEnd.Done, memory.Await(null, byDefault, Bytes.Long));
        var none = memory.Await(null, own, Bytes.Long);
        Bytes.Is(DeviceEnd.Failed, none);
        Assert.Equal("cuda: cuCtxGetDevice: CUDA_ERROR_INVALID_CONTEXT (201)", none.Error!.Message);
        stream.Use(() =>
        {
            Bytes.Is(DeviceEnd.Done, memory.Await(null, byDefault, Bytes.Long));
            Bytes.Is(DeviceEnd.Done, memory.Await(null, own, Bytes.Long));
        });
        var wrong = memory.Await("cuda:0", own, Bytes.Long);
        Bytes.Is(DeviceEnd.Failed, wrong);
        Assert.Equal(new MeshError(MeshErrorCode.InvalidArgument, "device:wait",
            $"0x{stream.Native:x} is no stream of cuda:0"), wrong.Error);
        var unknown = memory.Await("cuda:7", own, Bytes.Long);
        Assert.Equal(MeshErrorCode.InvalidArgument, unknown.Error?.Code);
    }

    /// <summary>A clock by which a stream that is busy takes 9.5 s, and what comes after it 0.7 s.</summary>
    private sealed class BusyStreamTime(CallerStream stream) : TimeProvider
    {
        private int _reads;
        private bool _wasBusy;

        public bool IsSlow { get; set; }

        public override long TimestampFrequency => 10;

        public override long GetTimestamp()
        {
            if (!IsSlow || (!_wasBusy && !stream.IsIdle))
            {
                _wasBusy = IsSlow;
                return 0;
            }

            if (!stream.IsIdle)
                return 95;
            // The end of that wait, and the begin of the next.
            return ++_reads <= 2 ? 95 : 102;
        }
    }
}
