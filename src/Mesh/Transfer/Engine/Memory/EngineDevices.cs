// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Transfer.Engine.Memory;

/// <summary>
/// Says where memory lies that is registered with an engine, and waits for streams of its user. Thread-safe.
/// </summary>
/// <param name="memory">The devices; null: all memory is the host's.</param>
/// <param name="runtime">Clock and log.</param>
internal sealed class EngineDevices(IDeviceMemory? memory, MeshRuntime runtime)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, RegionDevice> _known = new(StringComparer.Ordinal);
    private readonly ILogger _log = runtime.Log.CreateLogger("mesh.engine");
    private readonly LogGate _failedGate = new(runtime.Time);

    /// <summary>The device that a range lies on.</summary>
    /// <param name="address">First byte.</param>
    /// <param name="length">Length in bytes, from 1.</param>
    /// <param name="location">Where the user says that it lies, in a legal form; "*": anywhere.</param>
    /// <returns>
    /// The device; null: it is host memory. DeviceNotFound: no such device here. InvalidArgument: the driver says that
    /// the range lies elsewhere, or not in one place.
    /// </returns>
    public TransferResult<RegionDevice?> Find(ulong address, ulong length, string location)
    {
        if (location.StartsWith("cuda:", StringComparison.Ordinal) && !IsThere(location))
        {
            return new TransferError(TransferErrorCode.DeviceNotFound, memory is null or { Devices.Count: 0 }
                ? $"location '{location}': this process has not begun CUDA"
                : $"location '{location}' is no device of this host");
        }

        string? found = memory?.LocationOf(new DeviceRange((nint)address, 1));
        string? end = memory?.LocationOf(new DeviceRange((nint)(address + length - 1), 1));
        if (end != found)
        {
            return new TransferError(TransferErrorCode.InvalidArgument,
                $"memory of {length} bytes at 0x{address:x} begins in {Name(found)} and ends in {Name(end)}");
        }

        if (location != "*" && (found ?? "") != (location.StartsWith("cpu:", StringComparison.Ordinal) ? "" : location))
        {
            return new TransferError(TransferErrorCode.InvalidArgument,
                $"location '{location}': the driver of the devices says that 0x{address:x} is in {Name(found)}");
        }

        return TransferResults.Of(found is null ? null : DeviceOf(found));
    }

    /// <summary>Waits for the work that is on a stream so far.</summary>
    /// <param name="on">The devices of the memory that is to be moved.</param>
    /// <param name="stream">The stream; 0: the default stream of each of these devices.</param>
    /// <param name="limit">How long.</param>
    /// <returns>
    /// Whether it is done in that time; InvalidArgument: no such stream; DeviceNotFound: no such device, or a lost one.
    /// </returns>
    public TransferResult<bool> Await(IReadOnlyCollection<RegionDevice> on, nint stream, TimeSpan limit)
    {
        if (memory is null or { Devices.Count: 0 })
        {
            return stream == 0 ? true
                : new TransferError(TransferErrorCode.DeviceNotFound, "this process has not begun CUDA");
        }

        // Of memory that is all the host's the stream must be one of the device that the caller's thread uses.
        if (on.Count == 0)
            return AwaitOne(null, stream, limit);
        long start = runtime.Time.GetTimestamp();
        TransferResult<bool> waited = true;
        foreach (var device in on)
        {
            var left = runtime.Time.LeftOf(limit, start);
            waited = AwaitOne(device.Location, stream, left);
            // A stream belongs to one device: the first that does not say that it is another's.
            if (stream != 0 ? waited.Error?.Code != TransferErrorCode.InvalidArgument
                : !waited.Succeeded || !waited.Value)
                return waited;
        }

        return waited;
    }

    private TransferResult<bool> AwaitOne(string? location, nint stream, TimeSpan limit)
    {
        var order = new DeviceOrder(stream != 0 ? stream : DeviceOrder.DefaultStream);
        var outcome = memory!.Await(location, order, limit);
        return outcome.End switch
        {
            DeviceEnd.Done => true,
            DeviceEnd.Late => false,
            _ => new TransferError(outcome.Error is { Code: MeshErrorCode.InvalidArgument }
                ? TransferErrorCode.InvalidArgument : TransferErrorCode.DeviceNotFound,
                outcome.Error?.Message ?? "the stream cannot be waited for"),
        };
    }

    private bool IsThere(string location)
    {
        foreach (var device in memory?.Devices ?? [])
        {
            if (device.Location == location)
                return true;
        }

        return false;
    }

    private RegionDevice DeviceOf(string location)
    {
        lock (_gate)
        {
            if (!_known.TryGetValue(location, out var device))
            {
                device = new RegionDevice(memory!, location, Failed);
                _known.Add(location, device);
            }

            return device;
        }
    }

    private void Failed(MeshError error)
    {
        if (_failedGate.TryPass(out long more))
            _log.LogWarning("device_failed reason={Reason} more={More}", error.Message, more);
    }

    private static string Name(string? location) => location ?? "host memory";
}
