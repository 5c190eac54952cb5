// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Verbs.Interop;
using Mooncake.Mesh.Verbs.Queues;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>
/// An open RDMA device with one protection domain. What is made on it keeps the native device open until it is
/// disposed too. Thread-safe, but for <see cref="TryGetEvent"/>, which one thread calls at a time.
/// </summary>
internal sealed unsafe class VerbsDevice : IDisposable
{
    private readonly IbverbsLibrary _library;
    private readonly InfinibandSysfs _sysfs;
    private readonly VerbsHandle _context;
    private readonly VerbsHandle _domain;

    private VerbsDevice(
        IbverbsLibrary library, InfinibandSysfs sysfs, string name, VerbsHandle context, VerbsHandle domain,
        VerbsCounts counts, DeviceLimits limits)
    {
        _library = library;
        _sysfs = sysfs;
        _context = context;
        _domain = domain;
        Name = name;
        Counts = counts;
        Limits = limits;
        AsyncDescriptor = ((ibv_context*)context.Native)->async_fd;
    }

    /// <summary>The kernel's name, as in "mlx5_0".</summary>
    internal string Name { get; }

    /// <summary>What the device can hold.</summary>
    internal DeviceLimits Limits { get; }

    /// <summary>The native objects of this device.</summary>
    internal VerbsCounts Counts { get; }

    /// <summary>A non-blocking descriptor, readable while an event waits. It stays the device's.</summary>
    internal int AsyncDescriptor { get; }

    /// <summary>Whether the library knows dma-bufs. The kernel or the device may still refuse one.</summary>
    internal bool TakesDmaBuf => _library.ibv_reg_dmabuf_mr is not null;

    /// <summary>Opens a device; null with one line why not.</summary>
    /// <exception cref="VerbsException">It opens and then refuses something.</exception>
    internal static VerbsDevice? Open(string name, out string? reason) =>
        LibIbverbs.TryGet(out reason) is { } library
            ? Open(library, InfinibandSysfs.Host, name, out reason)
            : null;

    /// <summary>The same with a given library and a given sysfs.</summary>
    internal static VerbsDevice? Open(
        IbverbsLibrary library, InfinibandSysfs sysfs, string name, out string? reason)
    {
        using var devices = new ListedDevices(library);
        for (int i = 0; i < (devices.Count ?? 0); i++)
        {
            if (devices.Name(i) != name)
                continue;
            var counts = new VerbsCounts();
            var context = new VerbsHandle(library.ibv_close_device, counts);
            ibv_context* native = devices.Open(i, out int errno);
            if (native is null)
            {
                context.Dispose();
                reason = DeviceListing.Refusal(name, errno);
                return null;
            }

            context.Adopt(native);
            reason = null;
            return Prepare(library, sysfs, name, context, counts);
        }

        reason = $"no RDMA device is named {name}; there are: {devices.Names()}";
        return null;
    }

    /// <summary>Ends the device, once everything made on it has been disposed. Never throws.</summary>
    public void Dispose()
    {
        _domain.Dispose();
        _context.Dispose();
    }

    /// <summary>A port as it is now.</summary>
    /// <param name="port">From 1 to <see cref="DeviceLimits.PortCount"/>.</param>
    /// <exception cref="VerbsException">There is no such port, or the device is gone.</exception>
    internal PortInfo Port(byte port)
    {
        using HandleScope held = Hold();
        ibv_port_attr attr = default;
        VerbsException.ThrowIfFailed(
            _library.ibv_query_port(held.Context, port, &attr), "ibv_query_port", $"{Name}, port {port}");
        var layer = (LinkLayer)attr.link_layer;
        if (layer == LinkLayer.Unknown)
        {
            // Old libraries stop before this field, and old InfiniBand drivers leave it empty.
            layer = _sysfs.LinkLayer(Name, port) == "Ethernet" ? LinkLayer.Ethernet : LinkLayer.InfiniBand;
        }

        return new PortInfo(
            port, (PortState)attr.state, PathMtu.Bytes(attr.active_mtu), attr.lid, layer, attr.gid_tbl_len,
            _sysfs.BitsPerSecond(Name, port));
    }

    /// <summary>The port's GIDs by index, empty rows left out.</summary>
    /// <exception cref="VerbsException">There is no such port, or the device is gone.</exception>
    internal IReadOnlyList<GidEntry> Gids(byte port)
    {
        using HandleScope held = Hold();
        PortInfo info = Port(port);
        int rows = 0;
        for (int i = 1; i <= Limits.PortCount; i++)
            rows += i == port ? info.GidTableLength : Port((byte)i).GidTableLength;
        return GidTable.Read(_library, held.Context, _sysfs, Name, info, rows);
    }

    /// <summary>Lets the device reach memory, until the region is disposed.</summary>
    /// <param name="address">The first byte; the memory must outlive the region.</param>
    /// <param name="length">In bytes, at most <see cref="DeviceLimits.MaxMrSize"/>.</param>
    /// <param name="access">Who may do what.</param>
    /// <exception cref="VerbsException">Refused: ENOMEM when the process may not lock that much.</exception>
    internal MemoryRegion Register(nint address, long length, MemoryAccess access)
    {
        CheckRegion(length, access);
        return MemoryRegion.Register(_library, _domain, Counts, address, length, access);
    }

    /// <summary>Lets the device reach a dma-buf, as of GPU memory, until the region is disposed.</summary>
    /// <param name="descriptor">The dma-buf; may be closed afterwards.</param>
    /// <param name="offset">Where in it the region starts, in bytes.</param>
    /// <param name="length">In bytes, at most <see cref="DeviceLimits.MaxMrSize"/>.</param>
    /// <param name="address">The address by which work requests name the first byte.</param>
    /// <param name="access">Who may do what.</param>
    /// <exception cref="NotSupportedException">The library is older than dma-bufs.</exception>
    /// <exception cref="VerbsException">Refused: EOPNOTSUPP when kernel or device take no dma-buf.</exception>
    internal MemoryRegion RegisterDmaBuf(
        int descriptor, long offset, long length, ulong address, MemoryAccess access)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        CheckRegion(length, access);
        if (!TakesDmaBuf)
            throw new NotSupportedException("libibverbs has no ibv_reg_dmabuf_mr: rdma-core 34 or newer is needed");
        return MemoryRegion.RegisterDmaBuf(
            _library, _domain, Counts, descriptor, offset, length, address, access);
    }

    /// <summary>Makes a completion queue with a channel of its own.</summary>
    /// <param name="depth">
    /// How many completions it must hold, at most <see cref="DeviceLimits.MaxCqe"/>: those of every queue pair that
    /// reports to it, or it overruns and is lost with them.
    /// </param>
    /// <param name="vector">Which of the device's interrupts wakes its sleeper; taken modulo their number.</param>
    /// <exception cref="VerbsException">Refused: ENOMEM when the process may not lock the queue.</exception>
    internal CompletionQueue CreateCompletionQueue(int depth, int vector = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(depth);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(depth, Limits.MaxCqe);
        ArgumentOutOfRangeException.ThrowIfNegative(vector);
        return CompletionQueue.Create(_library, _context, Counts, depth, vector);
    }

    /// <summary>Makes a reliable connected queue pair that reports to a completion queue of this device.</summary>
    /// <exception cref="VerbsException">Refused: ENOMEM when the process may not lock the queue.</exception>
    internal QueuePair CreateQueuePair(CompletionQueue completions, in QueuePairShape shape)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(shape.SendDepth);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(shape.SendDepth, Limits.MaxQpWr);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(shape.MaxPieces);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(shape.MaxPieces, Limits.MaxSge);
        ArgumentOutOfRangeException.ThrowIfNegative(shape.InlineBytes);
        return QueuePair.Create(_library, _domain, completions, Counts, shape);
    }

    /// <summary>Takes the next asynchronous event and acknowledges it; false when none waits.</summary>
    /// <exception cref="VerbsException">EIO: the device is gone, and no event comes any more.</exception>
    internal bool TryGetEvent(out VerbsEvent happened)
    {
        using HandleScope held = Hold();
        ibv_async_event native = default;
        happened = default;
        if (_library.ibv_get_async_event(held.Context, &native) != 0)
        {
            int errno = Marshal.GetLastSystemError();
            return errno == VerbsException.Again
                ? false
                : throw new VerbsException(errno, "ibv_get_async_event", Name);
        }

        happened = VerbsEvent.From(native);
        _library.ibv_ack_async_event(&native);
        return true;
    }

    private static VerbsDevice Prepare(
        IbverbsLibrary library, InfinibandSysfs sysfs, string name, VerbsHandle context, VerbsCounts counts)
    {
        VerbsHandle? domain = null;
        try
        {
            var native = (ibv_context*)context.Native;
            NonBlocking.Set(native->async_fd);
            ibv_device_attr attr = default;
            VerbsException.ThrowIfFailed(library.ibv_query_device(native, &attr), "ibv_query_device", name);

            domain = new VerbsHandle(library.ibv_dealloc_pd, counts, context);
            ibv_pd* pd = library.ibv_alloc_pd(native);
            if (pd is null)
                throw new VerbsException(Marshal.GetLastSystemError(), "ibv_alloc_pd", name);
            domain.Adopt(pd);
            return new VerbsDevice(library, sysfs, name, context, domain, counts, new DeviceLimits(attr));
        }
        catch (VerbsException)
        {
            domain?.Dispose();
            context.Dispose();
            throw;
        }
    }

    private void CheckRegion(long length, MemoryAccess access)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Limits.MaxMrSize);
        if ((access & (MemoryAccess.RemoteWrite | MemoryAccess.LocalWrite)) == MemoryAccess.RemoteWrite)
            throw new ArgumentException("what a peer may write, this device must be allowed to write", nameof(access));
    }

    private HandleScope Hold() => new(_context);

    /// <summary>Keeps the context through one call, so that a Dispose on another thread waits for it.</summary>
    private readonly ref struct HandleScope : IDisposable
    {
        private readonly VerbsHandle _handle;

        internal HandleScope(VerbsHandle handle)
        {
            handle.Hold();
            _handle = handle;
        }

        internal ibv_context* Context => (ibv_context*)_handle.Native;

        public void Dispose() => _handle.DangerousRelease();
    }
}
