// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Queues;

/// <summary>
/// Where work requests report their end, and the channel that wakes a sleeper. One thread uses it at a time. To sleep:
/// <see cref="Arm"/>, poll once more, wait for the descriptor, <see cref="DrainEvents"/>.
/// </summary>
internal sealed unsafe class CompletionQueue : IDisposable
{
    private readonly delegate* unmanaged[Cdecl]<ibv_cq*, int, ibv_wc*, int> _poll;
    private readonly delegate* unmanaged[Cdecl]<ibv_cq*, int, int> _arm;
    private readonly IbverbsLibrary _library;
    private readonly VerbsHandle _channel;
    private readonly ibv_comp_channel* _nativeChannel;
    private ibv_cq* _native;

    private CompletionQueue(IbverbsLibrary library, VerbsHandle channel, VerbsHandle handle)
    {
        _library = library;
        _channel = channel;
        _nativeChannel = (ibv_comp_channel*)channel.Native;
        _native = (ibv_cq*)handle.Native;
        _poll = _native->context->ops.poll_cq;
        _arm = _native->context->ops.req_notify_cq;
        Handle = handle;
        Depth = _native->cqe;
        ChannelDescriptor = _nativeChannel->fd;
    }

    /// <summary>How many completions it holds: what was asked for, or more.</summary>
    internal int Depth { get; }

    /// <summary>A non-blocking descriptor, readable once an armed queue got a completion. Stays the queue's.</summary>
    internal int ChannelDescriptor { get; }

    /// <summary>For the queue pairs that report here.</summary>
    internal VerbsHandle Handle { get; }

    /// <summary>
    /// Ends the queue, once every queue pair that reports to it has been disposed. No other call may be under way.
    /// Never throws.
    /// </summary>
    public void Dispose()
    {
        _native = null;
        Handle.Dispose();
        _channel.Dispose();
    }

    /// <summary>Takes completions off the queue; 0 when there are none.</summary>
    /// <exception cref="VerbsException">The queue is broken, usually by an overrun.</exception>
    internal int Poll(Span<WorkCompletion> into)
    {
        ibv_cq* native = Living();
        fixed (WorkCompletion* first = into)
        {
            int count = _poll(native, into.Length, (ibv_wc*)first);
            GC.KeepAlive(this);
            return count >= 0 ? count : throw new VerbsException(VerbsException.NumberOf(count), "ibv_poll_cq");
        }
    }

    /// <summary>
    /// Has the next completion wake the channel, once. One that is in the queue already does not: poll after this.
    /// </summary>
    /// <exception cref="VerbsException">The device is gone.</exception>
    internal void Arm()
    {
        int result = _arm(Living(), 0);
        GC.KeepAlive(this);
        VerbsException.ThrowIfFailed(result, "ibv_req_notify_cq");
    }

    /// <summary>Takes the events that wait on the channel, acknowledges them together, and counts them.</summary>
    /// <exception cref="VerbsException">The device is gone.</exception>
    internal int DrainEvents()
    {
        ibv_cq* native = Living();
        ibv_cq* woken;
        void* unused;
        uint taken = 0;

        // Ends by itself: an event needs an Arm, and none comes from here.
        while (_library.ibv_get_cq_event(_nativeChannel, &woken, &unused) == 0)
            taken++;
        int errno = Marshal.GetLastSystemError();
        if (taken > 0)
            _library.ibv_ack_cq_events(native, taken);
        GC.KeepAlive(this);
        return errno == VerbsException.Again ? (int)taken : throw new VerbsException(errno, "ibv_get_cq_event");
    }

    internal static CompletionQueue Create(
        IbverbsLibrary library, VerbsHandle context, VerbsCounts counts, int depth, int vector)
    {
        var channel = new VerbsHandle(library.ibv_destroy_comp_channel, counts, context);
        VerbsHandle? queue = null;
        try
        {
            var device = (ibv_context*)context.Native;
            ibv_comp_channel* nativeChannel = library.ibv_create_comp_channel(device);
            if (nativeChannel is null)
                throw new VerbsException(Marshal.GetLastSystemError(), "ibv_create_comp_channel");
            channel.Adopt(nativeChannel);
            NonBlocking.Set(nativeChannel->fd);

            queue = new VerbsHandle(library.ibv_destroy_cq, counts, channel);
            int vectors = Math.Max(device->num_comp_vectors, 1);
            ibv_cq* native = library.ibv_create_cq(device, depth, null, nativeChannel, vector % vectors);
            if (native is null)
                throw VerbsException.ForLockedMemory(Marshal.GetLastSystemError(), "ibv_create_cq", null);
            queue.Adopt(native);
            return new CompletionQueue(library, channel, queue);
        }
        catch (VerbsException)
        {
            queue?.Dispose();
            channel.Dispose();
            throw;
        }
    }

    private ibv_cq* Living()
    {
        ibv_cq* native = _native;
        ObjectDisposedException.ThrowIf(native is null, this);
        return native;
    }
}
