// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Queues;

namespace Mooncake.Mesh.Verbs.Tests.Devices;

public sealed class RegistrationTests
{
    private const nint Somewhere = 0x10000;
    private const int NoMemory = 12;

    [Fact]
    public void A_region_has_the_keys_of_the_device()
    {
        using var verbs = new VerbsDouble();
        using VerbsDevice device = verbs.Open();
        using MemoryRegion region = device.Register(Somewhere, 100, MemoryAccess.RemoteRead);
        Assert.Equal((7u, 9u), (region.LocalKey, region.RemoteKey));
        Assert.Equal(((ulong)Somewhere, 100), (region.Address, region.Length));
        Assert.Equal(MemoryAccess.RemoteRead, verbs.Access);
    }

    [Theory]
    [InlineData("", MemoryAccess.LocalWrite | MemoryAccess.RelaxedOrdering)]
    [InlineData("NO_OPTIONAL", MemoryAccess.LocalWrite)]
    public void Relaxed_ordering_is_left_out_where_the_library_has_none(string definition, object given)
    {
        using var verbs = new VerbsDouble(definition);
        using VerbsDevice device = verbs.Open();
        device.Register(Somewhere, 100, MemoryAccess.LocalWrite | MemoryAccess.RelaxedOrdering).Dispose();
        Assert.Equal((MemoryAccess)given, verbs.Access);
    }

    [Fact]
    public void No_memory_to_lock_says_the_limit_the_need_and_the_fix()
    {
        using var verbs = new VerbsDouble("MR_ERRNO=ENOMEM");
        using VerbsDevice device = verbs.Open();
        var refusal = Assert.Throws<VerbsException>(() => device.Register(Somewhere, 1 << 20, MemoryAccess.None));
        Assert.Equal((NoMemory, "ibv_reg_mr"), (refusal.Errno, refusal.Call));
        Assert.Contains("1048576 bytes have to be locked", refusal.Message);
        Assert.Contains("RLIMIT_MEMLOCK", refusal.Message);
        if (LockedMemory.Limit() is { } limit)
        {
            Assert.Contains($" is {limit}: ", refusal.Message);
            Assert.Contains("LimitMEMLOCK=infinity", refusal.Message);
            Assert.Contains("ulimit -l unlimited", refusal.Message);
        }

        Assert.Equal(2, device.Counts.Alive);
    }

    [Theory]
    [InlineData("CQ_ERRNO=ENOMEM", "ibv_create_cq")]
    [InlineData("QP_ERRNO=ENOMEM", "ibv_create_qp")]
    public void So_do_queues(string definition, string call)
    {
        using var verbs = new VerbsDouble(definition);
        using VerbsDevice device = verbs.Open();
        var refusal = Assert.Throws<VerbsException>(() =>
        {
            using CompletionQueue completions = device.CreateCompletionQueue(16);
            device.CreateQueuePair(completions, new QueuePairShape(16));
        });
        Assert.Equal((NoMemory, call), (refusal.Errno, refusal.Call));
        Assert.Contains("RLIMIT_MEMLOCK", refusal.Message);
        Assert.Equal(2, device.Counts.Alive);
    }

    [Fact]
    public void Another_refusal_does_not_speak_of_limits()
    {
        using var verbs = new VerbsDouble("MR_ERRNO=EFAULT");
        using VerbsDevice device = verbs.Open();
        var refusal = Assert.Throws<VerbsException>(() => device.Register(Somewhere, 4096, MemoryAccess.None));
        Assert.Equal("ibv_reg_mr: Bad address (14); 4096 bytes", refusal.Message);
    }

    [Fact]
    public void A_dma_buf_is_named_by_the_address_given()
    {
        using var verbs = new VerbsDouble();
        using VerbsDevice device = verbs.Open();
        using MemoryRegion region = device.RegisterDmaBuf(
            3, offset: 4096, 8192, 0xabc000, MemoryAccess.LocalWrite | MemoryAccess.RelaxedOrdering);
        Assert.Equal((0xabc000ul, 8192), (region.Address, region.Length));
        Assert.Equal(MemoryAccess.LocalWrite | MemoryAccess.RelaxedOrdering, verbs.Access);
        Assert.Throws<VerbsException>(() => device.RegisterDmaBuf(-1, 0, 8192, 0, MemoryAccess.LocalWrite));
    }

    [Fact]
    public void An_older_library_takes_no_dma_buf()
    {
        using var verbs = new VerbsDouble("NO_OPTIONAL");
        using VerbsDevice device = verbs.Open();
        Assert.False(device.TakesDmaBuf);
        Assert.Throws<NotSupportedException>(() => device.RegisterDmaBuf(3, 0, 8192, 0, MemoryAccess.None));
    }

    [Fact]
    public void What_no_device_could_do_is_the_callers_mistake()
    {
        using var verbs = new VerbsDouble();
        using VerbsDevice device = verbs.Open();
        Assert.Throws<ArgumentOutOfRangeException>(() => device.Register(Somewhere, 0, MemoryAccess.None));
        Assert.Throws<ArgumentException>(() => device.Register(Somewhere, 1, MemoryAccess.RemoteWrite));
        Assert.Throws<ArgumentOutOfRangeException>(() => device.RegisterDmaBuf(3, -1, 1, 0, MemoryAccess.None));
        Assert.Throws<ArgumentOutOfRangeException>(() => device.CreateCompletionQueue(device.Limits.MaxCqe + 1));
        using CompletionQueue completions = device.CreateCompletionQueue(16);
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            device.CreateQueuePair(completions, new QueuePairShape(device.Limits.MaxQpWr + 1)));
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            device.CreateQueuePair(completions, new QueuePairShape(1, device.Limits.MaxSge + 1)));
    }

    [Fact]
    public void A_region_that_cannot_go_is_counted_and_nothing_throws()
    {
        using var verbs = new VerbsDouble("STUCK");
        using VerbsDevice device = verbs.Open();
        device.Register(Somewhere, 4096, MemoryAccess.None).Dispose();
        Assert.Equal((1, 2), (device.Counts.Refused, device.Counts.Alive));
    }

    [Fact]
    public void Children_end_before_their_parents_whatever_the_order_of_disposal()
    {
        using var verbs = new VerbsDouble();
        VerbsDevice device = verbs.Open();
        MemoryRegion region = device.Register(Somewhere, 4096, MemoryAccess.None);
        CompletionQueue completions = device.CreateCompletionQueue(16);
        QueuePair pair = device.CreateQueuePair(completions, new QueuePairShape(16));

        device.Dispose();
        completions.Dispose();
        Assert.Equal("", verbs.Ended);
        Assert.Throws<ObjectDisposedException>(() => device.Port(1));
        Assert.Throws<ObjectDisposedException>(() => device.CreateCompletionQueue(16));
        pair.Dispose();
        Assert.Equal("QCH", verbs.Ended);
        region.Dispose();
        Assert.Equal("QCHMPD", verbs.Ended);
        region.Dispose();
        pair.Dispose();
        device.Dispose();
        Assert.Equal(("QCHMPD", 0), (verbs.Ended, device.Counts.Alive));
    }

    [Fact]
    public void What_is_dropped_without_disposal_ends_in_the_same_order()
    {
        using var verbs = new VerbsDouble();
        Drop(verbs);
        for (int i = 0; i < 10 && verbs.Ended.Length < 6; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        string ended = verbs.Ended;
        Assert.Equal("CDHMPQ", string.Concat(ended.Order()));
        Assert.Matches("Q.*C.*H.*D", ended);
        Assert.Matches("M.*P.*D", ended);
        Assert.Matches("Q.*P", ended);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Drop(VerbsDouble verbs)
    {
        VerbsDevice device = verbs.Open();
        device.Register(Somewhere, 4096, MemoryAccess.None);
        device.CreateQueuePair(device.CreateCompletionQueue(16), new QueuePairShape(16));
    }
}
