// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Mooncake.Mesh.Transfer.Interop;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Queues;

[Collection(RealDevices.Name)]
public sealed class FailureDeviceTests(ITestOutputHelper output)
{
    [Fact]
    public void A_wrong_key_fails_the_request_flushes_the_next_and_ends_both_queue_pairs()
    {
        using var pair = new ConnectedPair();
        pair.Far.Buffer.Bytes.Clear();
        pair.Near.Buffer.FillPattern(5);
        WorkRequest wrong = pair.Near.Request(WorkKind.Write, 1, 0, pair.Far, 0, 64);
        wrong.RemoteKey ^= 0x5a5a00;
        pair.Near.Post(wrong, pair.Near.Request(WorkKind.Write, 2, 0, pair.Far, 0, 64));
        WorkCompletion[] done = pair.Near.Await(2);
        Assert.Equal((1ul, WorkStatus.RemoteAccessError), (done[0].WorkId, done[0].Status));
        Assert.Equal((2ul, WorkStatus.Flushed), (done[1].WorkId, done[1].Status));
        Assert.Contains("RemoteAccessError (10)", done[0].ToString());
        Assert.Equal(QueuePairState.Error, pair.Near.QueuePair.State());
        Assert.Equal(QueuePairState.Error, pair.Far.QueuePair.State());
        Assert.False(pair.Far.Buffer.Bytes.ContainsAnyExcept((byte)0));
    }

    [Fact]
    public void Memory_without_the_right_is_refused()
    {
        using var pair = new ConnectedPair();
        using MemoryRegion readable = pair.Far.Device.Register(
            pair.Far.Buffer.Address, (long)pair.Far.Buffer.Length, MemoryAccess.RemoteRead);
        WorkRequest write = pair.Near.Request(WorkKind.Write, 1, 0, pair.Far, 0, 64);
        write.RemoteKey = readable.RemoteKey;
        pair.Near.Post(write with { Kind = WorkKind.Read });
        Assert.Equal(WorkStatus.Success, pair.Near.Await(1)[0].Status);
        pair.Near.Post(write);
        Assert.Equal(WorkStatus.RemoteAccessError, pair.Near.Await(1)[0].Status);
    }

    [Fact]
    public void Failing_a_queue_pair_ends_every_outstanding_request()
    {
        // So much that the device cannot have moved all of it by the time that the next call fails the queue pair.
        const int Count = 60;
        const int Shift = 18;
        using var pair = new ConnectedPair(bytes: Count << Shift);
        FailOnce(pair);
        pair.Far.Buffer.FillPattern(6);
        pair.Near.Buffer.Bytes.Clear();
        var requests = new WorkRequest[Count];
        for (int i = 0; i < Count; i++)
            requests[i] = pair.Near.Request(WorkKind.Read, (ulong)i, i << Shift, pair.Far, i << Shift, 1 << Shift);
        Assert.Equal(QueuePairState.ReadyToSend, pair.Near.QueuePair.State());
        pair.Near.Post(requests);
        pair.Near.QueuePair.Fail();
        WorkCompletion[] done = pair.Near.Await(Count);

        // What lands after this would land in memory that the caller has back.
        byte[] flushed = pair.Near.Buffer.Bytes.ToArray();
        Assert.Equal(QueuePairState.Error, pair.Near.QueuePair.State());
        Assert.All(done, one => Assert.True(one.Status is WorkStatus.Success or WorkStatus.Flushed, $"{one}"));
        int moved = done.Count(one => one.Status == WorkStatus.Success);
        output.WriteLine($"{moved} of {Count} moved before the flush");
        Assert.True(moved < Count, "all moved: nothing was flushed");
        Assert.Equal(Enumerable.Range(0, Count), done.Select(one => (int)one.WorkId).Order());

        Thread.Sleep(300);
        Assert.True(flushed.AsSpan().SequenceEqual(pair.Near.Buffer.Bytes));
        pair.Near.Post(requests[0]);
        Assert.Equal(WorkStatus.Flushed, pair.Near.Await(1)[0].Status);

        pair.Replace();
        pair.Near.Post(requests[1]);
        Assert.Equal(WorkStatus.Success, pair.Near.Await(1)[0].Status);
    }

    [Fact]
    public void A_request_posted_after_the_failure_is_the_last_to_end()
    {
        const ulong Marker = 1000;
        using var pair = new ConnectedPair(bytes: 1 << 20);
        FailOnce(pair);
        var requests = new WorkRequest[32];
        for (int i = 0; i < requests.Length; i++)
            requests[i] = pair.Near.Request(
                WorkKind.Read, (ulong)i, i << 15, pair.Far, i << 15, 1 << (i % 2 == 0 ? 15 : 3), WorkFlags.None);
        pair.Near.Post(requests);
        pair.Near.QueuePair.Fail();
        pair.Near.Post(pair.Near.Request(WorkKind.Read, Marker, 0, pair.Far, 0, 8));

        var ended = new List<ulong>();
        while (!ended.Contains(Marker))
        {
            WorkCompletion one = pair.Near.Await(1)[0];
            Assert.Equal(WorkStatus.Flushed, one.Status);
            ended.Add(one.WorkId);
        }

        output.WriteLine($"{ended.Count - 1} of {requests.Length} unsignaled requests were flushed");
        Assert.Equal(ended.Order(), ended);
        Thread.Sleep(300);
        Assert.Equal(0, pair.Near.Completions.Poll(new WorkCompletion[4]));
    }

    [Fact]
    public void A_link_that_goes_is_an_event_of_its_port_and_comes_back()
    {
        RealDevices.SkipUnlessOurs();
        using var pair = new ConnectedPair();
        pair.Near.Post(pair.Near.Request(WorkKind.Read, 1, 0, pair.Far, 0, 64));
        Assert.Equal(WorkStatus.Success, pair.Near.Await(1)[0].Status);
        Drain(pair.Near.Device);
        Drain(pair.Far.Device);

        string link = pair.Far.Interface;
        long start = Stopwatch.GetTimestamp();
        RealDevices.Run("ip", "link", "set", link, "down");
        try
        {
            AwaitEvent(pair.Far.Device, new VerbsEvent(VerbsEventKind.PortError, 1, 0));
            output.WriteLine($"port error after {Stopwatch.GetElapsedTime(start).TotalMilliseconds:0} ms");
            Assert.NotEqual(PortState.Active, pair.Far.Device.Port(1).State);
            Assert.False(pair.Near.Device.TryGetEvent(out VerbsEvent _));
            start = Stopwatch.GetTimestamp();
            pair.Near.Post(pair.Near.Request(WorkKind.Read, 2, 0, pair.Far, 0, 64));
            Assert.Equal(WorkStatus.RetriesExceeded, pair.Near.Await(1)[0].Status);
            output.WriteLine($"retries exceeded after {Stopwatch.GetElapsedTime(start).TotalMilliseconds:0} ms");
        }
        finally
        {
            RealDevices.Run("ip", "link", "set", link, "up");
        }

        AwaitEvent(pair.Far.Device, new VerbsEvent(VerbsEventKind.PortActive, 1, 0));
        pair.Replace();
        pair.Near.Post(pair.Near.Request(WorkKind.Read, 3, 0, pair.Far, 0, 64));
        Assert.Equal(WorkStatus.Success, pair.Near.Await(1)[0].Status);
    }

    /// <summary>So that the next time is not spent compiling.</summary>
    private static void FailOnce(ConnectedPair pair)
    {
        pair.Near.QueuePair.Fail();
        pair.Replace();
    }

    private static void Drain(VerbsDevice device)
    {
        while (device.TryGetEvent(out VerbsEvent drained))
            Assert.NotEqual(VerbsEventKind.DeviceFatal, drained.Kind);
    }

    private static unsafe void AwaitEvent(VerbsDevice device, VerbsEvent wanted)
    {
        var seen = new List<VerbsEvent>();
        var wait = new pollfd { fd = device.AsyncDescriptor, events = LibC.POLLIN };
        while (LibC.poll(&wait, 1, 10_000) == 1)
        {
            while (device.TryGetEvent(out VerbsEvent happened))
            {
                if (happened == wanted)
                    return;
                seen.Add(happened);
            }
        }

        Assert.Fail($"no {wanted} in 10 s, but {string.Join(", ", seen)}");
    }
}
