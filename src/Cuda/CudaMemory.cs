// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Globalization;
using Mooncake.Mesh.Cuda.Copies;
using Mooncake.Mesh.Cuda.Devices;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda;

/// <summary>
/// The memory of NVIDIA GPUs, by the CUDA driver. What the driver refuses comes back as an error with its call and
/// number. Dispose it after its blocks; a block that is disposed later keeps its device until then. Thread-safe.
/// </summary>
/// <remarks>
/// A device that does not end a copy in the time that was given for it is lost to this process: give it what a device
/// may take, not what is left of a caller's deadline. Only time spent waiting for the device counts.
/// </remarks>
public sealed class CudaMemory : IDeviceMemory
{
    private readonly CudaLibrary _library;
    private readonly DeviceEntry[] _entries;
    private volatile bool _disposed;

    private CudaMemory(CudaLibrary library, DeviceEntry[] entries)
    {
        _library = library;
        _entries = entries;
        Devices = Array.AsReadOnly(Array.ConvertAll(entries, entry => entry.Info));
    }

    /// <inheritdoc/>
    public IReadOnlyList<DeviceInfo> Devices { get; }

    /// <summary>The library and its version: "libcuda.so.1, CUDA 12.8".</summary>
    public string Driver => LibCuda.VersionOf(_library) is { } version
        ? string.Create(CultureInfo.InvariantCulture, $"{_library.Name}, CUDA {version.Major}.{version.Minor}")
        : _library.Name;

    /// <summary>
    /// Opens the driver. No device is taken into use until it is needed, as that costs some of its memory.
    /// </summary>
    /// <param name="time">The clock of the limits; null: the system's.</param>
    /// <returns>
    /// Device, with a message that begins with "no library", "missing symbol" or "no device", where there is no CUDA.
    /// </returns>
    public static MeshResult<CudaMemory> TryOpen(TimeProvider? time = null)
    {
        CudaLibrary? library = LibCuda.TryGet(out string? reason);
        return library is null
            ? new MeshError(MeshErrorCode.Device, "device:open", reason!)
            : Open(library, time ?? TimeProvider.System);
    }

    /// <summary>Opens a driver that has devices.</summary>
    internal static MeshResult<CudaMemory> Open(CudaLibrary library, TimeProvider time)
    {
        try
        {
            DeviceEntry[] entries = new DeviceEntry[CountOf(library)];
            for (int i = 0; i < entries.Length; i++)
                entries[i] = DeviceEntry.Of(library, i, time);
            return new CudaMemory(library, entries);
        }
        catch (CudaException refused)
        {
            return new MeshError(MeshErrorCode.Device, "device:open", $"no device: {refused.Message}");
        }
    }

    /// <inheritdoc/>
    public MeshResult<DeviceUsage> UsageOf(string location) =>
        Run<int, DeviceUsage>(location, "usage", 0, static (device, _) => DeviceAllocation.Usage(device));

    /// <summary>What can be done with a device.</summary>
    /// <param name="location">"cuda:N".</param>
    /// <returns>InvalidArgument for a location that is none; Device.</returns>
    public MeshResult<CudaCapabilities> CapabilitiesOf(string location) =>
        Run<int, CudaCapabilities>(location, "capabilities", 0, static (device, _) =>
            new CudaCapabilities(DeviceAllocation.IsShared(device), device.HasDmaBuf, device.Copier.HasBatches));

    /// <inheritdoc/>
    public string? LocationOf(DeviceRange range)
    {
        PointerFacts facts = PointerFacts.Of(_library, range.Address, out int result);
        if (result == CUresult.CUDA_ERROR_INVALID_CONTEXT)
            facts = InSomeContext(range.Address);
        return facts.IsDevice && (uint)facts.Device < (uint)_entries.Length
            ? _entries[facts.Device].Info.Location
            : null;
    }

    /// <inheritdoc/>
    public MeshResult<IDeviceBlock> Allocate(string location, long length)
    {
        if (length is <= 0 or > long.MaxValue - DeviceBlock.Granularity)
            return Invalid($"length {length} is not from 1 to {long.MaxValue - DeviceBlock.Granularity}");
        return Run<long, IDeviceBlock>(location, "allocate", length, DeviceAllocation.Take);
    }

    /// <inheritdoc/>
    public MeshResult<IDeviceBlock> OpenShared(string location, ReadOnlySpan<byte> handle, long length)
    {
        if (handle.Length != CUipcMemHandle.CU_IPC_HANDLE_SIZE)
            return Invalid($"handle has {handle.Length} bytes; it must have {CUipcMemHandle.CU_IPC_HANDLE_SIZE}");
        if (length <= 0)
            return Invalid($"length {length} is not from 1 to {long.MaxValue}");
        return Run<(byte[] Handle, long Length), IDeviceBlock>(location, "map", (handle.ToArray(), length),
            static (device, shared) => DeviceBlock.Map(device, shared.Handle, shared.Length, out MeshError? error) is
            { } block ? block : error!);
    }

    /// <inheritdoc/>
    public DeviceOutcome Read(ReadOnlySpan<DeviceRange> from, IChunkSink sink, DeviceOrder order, TimeSpan timeout)
    {
        ArgumentNullException.ThrowIfNull(sink);
        DeviceEntry? entry = null;
        try
        {
            if (EntryOf(from, nameof(from), timeout, out entry, out bool isExact) is { } error)
                return Failed(error);
            if (entry is null)
                return new DeviceOutcome(DeviceEnd.Done);
            CudaDevice device = entry.Open();
            using ContextScope scope = device.Context.Enter();
            using CopyRun? run = CopyRun.Start(device, null, timeout, out DeviceOutcome late);
            return run is null ? late : StagedCopy.Read(run, from, isExact, sink, order);
        }
        catch (CudaException refused)
        {
            return Failed(DeviceCalls.Error("read", NameOf(entry), refused));
        }
        catch (ObjectDisposedException) when (_disposed)
        {
            return Failed(DeviceCalls.Closed("read", NameOf(entry)));
        }
    }

    /// <inheritdoc/>
    public DeviceOutcome Write(ReadOnlySpan<DeviceRange> to, IChunkSource source, DeviceOrder order, TimeSpan timeout)
    {
        ArgumentNullException.ThrowIfNull(source);
        DeviceEntry? entry = null;
        try
        {
            if (EntryOf(to, nameof(to), timeout, out entry, out bool isExact) is { } error)
                return Failed(error);
            if (entry is null)
                return new DeviceOutcome(DeviceEnd.Done);
            CudaDevice device = entry.Open();
            using ContextScope scope = device.Context.Enter();
            using CopyRun? run = CopyRun.Start(device, null, timeout, out DeviceOutcome late);
            return run is null ? late : StagedCopy.Write(run, to, isExact, source, order);
        }
        catch (CudaException refused)
        {
            return Failed(DeviceCalls.Error("write", NameOf(entry), refused));
        }
        catch (ObjectDisposedException) when (_disposed)
        {
            return Failed(DeviceCalls.Closed("write", NameOf(entry)));
        }
    }

    /// <inheritdoc/>
    public MeshResult<int> ExportDmaBuf(DeviceRange range)
    {
        try
        {
            if (EntryOf([range], nameof(range), TimeSpan.Zero, out DeviceEntry? entry, out _) is { } error)
                return error;
            return entry is null
                ? Invalid("range has 0 bytes; a dma-buf has whole pages")
                : Run<DeviceRange, int>(entry.Info.Location, "dma-buf", range,
                    static (device, range) => device.ExportDmaBuf(range));
        }
        catch (CudaException refused)
        {
            return DeviceCalls.Error("dma-buf", NameOf(null), refused);
        }
    }

    /// <inheritdoc/>
    public MeshError? FlushWrites(string location) =>
        Run<int, bool>(location, "flush", 0, static (device, _) => device.FlushWrites()).Error;

    /// <inheritdoc/>
    /// <remarks>
    /// A stream that it comes after is one of the device that is copied from. The two ranges may not overlap.
    /// </remarks>
    public DeviceOutcome Copy(DeviceRange from, nint to, DeviceOrder order, TimeSpan timeout)
    {
        DeviceEntry? source = null;
        try
        {
            var target = new DeviceRange(to, from.Length);
            DeviceEntry? destination = null;
            MeshError? error = EntryOf([from], nameof(from), timeout, out source, out _)
                ?? EntryOf([target], nameof(to), timeout, out destination, out _);
            if (error is null && Overlap(from, to))
                error = Invalid($"from and to overlap: {from.Length} bytes, {Math.Abs(to - from.Address)} apart");
            if (error is not null)
                return Failed(error);
            return source is null || destination is null
                ? new DeviceOutcome(DeviceEnd.Done)
                : DirectCopy.Make(source.Open(), destination.Open(), from, to, order, timeout);
        }
        catch (CudaException refused)
        {
            return Failed(DeviceCalls.Error("copy", NameOf(source), refused));
        }
        catch (ObjectDisposedException) when (_disposed)
        {
            return Failed(DeviceCalls.Closed("copy", NameOf(source)));
        }
    }

    /// <inheritdoc/>
    public DeviceOutcome Await(string? location, DeviceOrder order, TimeSpan timeout)
    {
        DeviceEntry? entry = null;
        try
        {
            MeshError? error = location is null
                ? EntryOfThread(order, out entry)
                : DeviceLocation.Find(location, _entries, out entry);
            if ((error ?? entry?.Loss.Error) is { } refusal)
                return Failed(refusal);
            return entry is null || order.Stream == 0
                ? new DeviceOutcome(DeviceEnd.Done)
                : StreamWait.Run(entry.Open(), order, timeout);
        }
        catch (CudaException refused)
        {
            return Failed(DeviceCalls.Error("wait", NameOf(entry), refused));
        }
        catch (ObjectDisposedException) when (_disposed)
        {
            return Failed(DeviceCalls.Closed("wait", NameOf(entry)));
        }
    }

    /// <summary>
    /// Gives the devices back: each once the last block of it is disposed. Nothing of a lost device is called.
    /// </summary>
    public void Dispose()
    {
        _disposed = true;
        foreach (DeviceEntry entry in _entries)
            entry.Dispose();
    }

    private static unsafe int CountOf(CudaLibrary library)
    {
        int count = 0;
        CudaException.ThrowIfFailed(
            library, library.cuDeviceGetCount(&count), nameof(library.cuDeviceGetCount));
        return count;
    }

    private MeshResult<T> Run<TState, T>(
        string location, string what, TState state, Func<CudaDevice, TState, MeshResult<T>> calls)
    {
        if (DeviceLocation.Find(location, _entries, out DeviceEntry? entry) is { } unknown)
            return unknown;
        if (entry!.Loss.Error is { } lost)
            return lost;
        try
        {
            CudaDevice device = entry.Open();
            return DeviceCalls.Run<(Func<CudaDevice, TState, MeshResult<T>> Calls, CudaDevice Device, TState State), T>(
                device, what, (calls, device, state), static all => all.Calls(all.Device, all.State));
        }
        catch (CudaException refused)
        {
            return DeviceCalls.Error(what, location, refused);
        }
        catch (ObjectDisposedException)
        {
            return DeviceCalls.Closed(what, location);
        }
    }

    /// <summary>The device of ranges; null: they have no byte.</summary>
    private MeshError? EntryOf(
        ReadOnlySpan<DeviceRange> ranges, string field, TimeSpan timeout, out DeviceEntry? entry, out bool isExact)
    {
        entry = null;
        isExact = false;
        if (timeout < TimeSpan.Zero && timeout != Timeout.InfiniteTimeSpan)
            return Invalid($"timeout {timeout} is less than 0");
        if (_disposed)
            return DeviceCalls.Closed("copy", "the memory of devices");
        if (RangeCheck.Look(_library, ranges, field, out RangeFacts facts) is { } error)
            return error;
        if (facts.Device < 0)
            return null;
        if (facts.Device >= _entries.Length)
            return Invalid($"{field} lies on cuda:{facts.Device}; there are {DeviceLocation.Known(_entries)}");
        entry = _entries[facts.Device];
        isExact = facts.IsExact;
        return entry.Loss.Error;
    }

    /// <summary>The device that this thread uses; null: none, and the stream is the default one.</summary>
    private unsafe MeshError? EntryOfThread(DeviceOrder order, out DeviceEntry? entry)
    {
        entry = null;
        int native = 0;
        int result = _library.cuCtxGetDevice(&native);
        if (result == CUresult.CUDA_ERROR_INVALID_CONTEXT && order.Stream == DeviceOrder.DefaultStream)
            return null;
        CudaException.ThrowIfFailed(_library, result, nameof(_library.cuCtxGetDevice));
        int used = native;
        entry = Array.Find(_entries, one => one.Native == used);
        return entry is not null ? null : Invalid($"this thread uses a device that is none of "
            + $"{DeviceLocation.Known(_entries)}");
    }

    private PointerFacts InSomeContext(nint address)
    {
        foreach (DeviceEntry entry in _entries)
        {
            if (_disposed || entry.Loss.Error is not null)
                continue;
            try
            {
                using ContextScope scope = entry.Open().Context.Enter();
                return PointerFacts.Of(_library, address, out _);
            }
            catch (Exception refused) when (refused is CudaException or ObjectDisposedException)
            {
                continue;
            }
        }

        return default;
    }

    private static bool Overlap(DeviceRange from, nint to)
    {
        ulong source = (ulong)from.Address;
        ulong target = (ulong)to;
        ulong length = (ulong)from.Length;
        return source < target ? target - source < length : source - target < length;
    }

    private static string NameOf(DeviceEntry? entry) => entry?.Info.Location ?? "cuda";

    private static DeviceOutcome Failed(MeshError error) => new(DeviceEnd.Failed, error);

    private static MeshError Invalid(string message) => new(MeshErrorCode.InvalidArgument, "device", message);
}
