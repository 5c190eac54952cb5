// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// Stands in for a network card that reads a holder's memory by itself. The slices of a read land one after the other,
/// each as the memory is at that moment, so that whatever a holder does meanwhile happens in between; a holder that is
/// stopped is read all the same. On a congested way a read takes most of a call's time, or more than all of it.
/// </summary>
internal sealed class SimulatedOneSided(SimulatedMesh mesh, SimulatedProcess caller, MeshRuntime runtime) : ITransport
{
    /// <summary>Shorter reads are left to the control channel.</summary>
    private const int Least = 2 * 1024;
    private readonly RandomSource _random = RandomSource.FromSeed((int)runtime.Random.NextUInt64());

    public string Name => "one-sided";

    public long MaxBytes => long.MaxValue;

    public bool CanRead(NodeRecord node) => true;

    public bool CanWrite(in ExtentWrite write) => false;

    public Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel)
    {
        if (read.Length < Least || mesh.Holder(read.Node.Incarnation) is null)
            return Task.FromResult(TransferOutcome.Unreachable);
        var slowest = TimeSpan.FromMicroseconds(_random.Next(8) switch
        {
            0 => 400_000,
            < 6 => mesh.Shape.SlowestSlice,
            _ => 300,
        });
        var link = new Link(mesh, caller, read.Node.Incarnation, _random, slowest);
        return new OneSidedRead(link, read, destination, timeout, runtime, cancel).RunAsync();
    }

    public Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel) => Task.FromResult(TransferOutcome.Unreachable);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    /// <summary>A connection for one read.</summary>
    private sealed class Link(SimulatedMesh mesh, SimulatedProcess caller, ulong incarnation, RandomSource random,
        TimeSpan slowest) : IOneSidedLink
    {
        /// <summary>How often something lost is sent again before the card gives up.</summary>
        private const int MostRetries = 7;
        private const int SliceBytes = (int)ExtentAllocator.Granule;
        private const int Window = 4;
        private static readonly TimeSpan Retry = TimeSpan.FromMilliseconds(500);
        private static readonly TimeSpan FlushTime = TimeSpan.FromMicroseconds(20);
        private readonly List<Action> _under = [];
        private long _last;
        private bool _broken;

        public long Landed { get; private set; }

        public async Task<bool> CopyAsync(ExtentRead read, NativeRange destination)
        {
            var under = new Queue<Task<bool>>(Window);
            long posted = 0;
            while (posted < read.Length || under.Count > 0)
            {
                for (; posted < read.Length && under.Count < Window; posted += SliceBytes)
                {
                    var slice = new Slice(read.SegmentId, read.Offset + read.Skip + posted,
                        destination.Address + (nint)posted, (int)Math.Min(SliceBytes, read.Length - posted));
                    under.Enqueue(PostAsync(holder => Copy(holder, slice), false));
                }

                if (!await under.Dequeue())
                    return false;
                Landed++;
            }

            return true;
        }

        public Task<ulong?> ReadWordAsync(int segmentId, long offset) =>
            PostAsync<ulong?>(holder => WordOf(holder, segmentId, offset), null);

        public Task FlushAsync()
        {
            Break();
            var flushed = new TaskCompletionSource();
            mesh.World.Clock.After(FlushTime, flushed.SetResult);
            return flushed.Task;
        }

        /// <summary>Has something done when its turn has come on the wire, after all that was posted before.</summary>
        private Task<T> PostAsync<T>(Func<ObjectStore, T> land, T failed)
        {
            var done = new TaskCompletionSource<T>();
            if (_broken)
                return Task.FromResult(failed);
            Action fail = () => done.TrySetResult(failed);
            _under.Add(fail);
            _last = Math.Max(_last, mesh.World.Clock.Now)
                + (1 + random.Next((int)slowest.TotalMicroseconds)) * TimeSpan.TicksPerMicrosecond;
            After(new TimeSpan(_last - mesh.World.Clock.Now), MostRetries);
            return done.Task;

            void After(TimeSpan delay, int retries) => mesh.World.Clock.After(delay, () =>
            {
                // The memory of a process that is dead is gone, that of a caller too.
                if (_broken || caller.IsDead)
                    return;
                if (mesh.Holder(incarnation) is not { Store: { } store } holder || retries == 0)
                {
                    Break();
                }
                else if (!mesh.World.Network.IsOpen(caller.Machine, holder.Process.Machine)
                    || !mesh.World.Network.IsOpen(holder.Process.Machine, caller.Machine))
                {
                    _last = Math.Max(_last, mesh.World.Clock.Now + Retry.Ticks);
                    After(Retry, retries - 1);
                }
                else
                {
                    _under.Remove(fail);
                    done.TrySetResult(land(store));
                }
            });
        }

        private void Break()
        {
            _broken = true;
            foreach (var fail in _under)
                fail();
            _under.Clear();
        }

        private static unsafe bool Copy(ObjectStore holder, in Slice slice)
        {
            var segment = holder.Segments[slice.SegmentId];
            if (slice.Offset < 0 || slice.Offset > segment.Length - slice.Length)
                return false;
            new ReadOnlySpan<byte>(segment.Memory.Host!.Pointer + slice.Offset, slice.Length)
                .CopyTo(new Span<byte>((void*)slice.Destination, slice.Length));
            return true;
        }

        private static ulong? WordOf(ObjectStore holder, int segmentId, long offset) =>
            holder.Segments[segmentId].Generations.Read(offset);

        private readonly record struct Slice(int SegmentId, long Offset, nint Destination, int Length);
    }
}
