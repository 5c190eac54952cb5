// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Cuda.Devices;
using Mooncake.Mesh.Cuda.Interop;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Copies;

/// <summary>What a device does with its memory alone, or with another's.</summary>
internal static unsafe class DirectCopy
{
    /// <summary>Copies within a device, or to another.</summary>
    /// <exception cref="CudaException">The driver refuses; what is on its way ends first.</exception>
    internal static DeviceOutcome Make(
        CudaDevice source, CudaDevice target, DeviceRange from, nint to, DeviceOrder order, TimeSpan timeout)
    {
        bool isOne = ReferenceEquals(source, target);
        // The outer one keeps the other's context through the copy.
        using ContextScope kept = target.Context.Enter();
        using ContextScope scope = source.Context.Enter();
        if (!isOne)
            source.Reach(target);
        using CopyRun? run = CopyRun.Start(source, isOne ? null : target, timeout, out DeviceOutcome late);
        if (run is null)
            return late;
        if (run.ComeAfter(order) is { } early)
            return early;

        run.Begin();
        CudaLibrary library = source.Library;
        if (isOne)
        {
            int result = library.cuMemcpyDtoDAsync_v2(to, from.Address, (nuint)from.Length, run.Stream);
            CudaException.ThrowIfFailed(library, result, nameof(library.cuMemcpyDtoDAsync_v2));
        }
        else
        {
            int result = library.cuMemcpyPeerAsync(to, target.Context.Native, from.Address, source.Context.Native,
                (nuint)from.Length, run.Stream);
            CudaException.ThrowIfFailed(library, result, nameof(library.cuMemcpyPeerAsync));
        }

        return End(run, order);
    }

    /// <summary>Fills memory of a device, whose context is entered, with 0.</summary>
    /// <exception cref="CudaException">The driver refuses; what is on its way ends first.</exception>
    internal static DeviceOutcome Zero(CudaDevice device, nint address, long length, TimeSpan timeout)
    {
        using CopyRun? run = CopyRun.Start(device, null, timeout, out DeviceOutcome late);
        if (run is null)
            return late;
        run.Begin();
        CudaLibrary library = device.Library;
        int result = library.cuMemsetD8Async(address, 0, (nuint)length, run.Stream);
        CudaException.ThrowIfFailed(library, result, nameof(library.cuMemsetD8Async));
        return End(run, default);
    }

    private static DeviceOutcome End(CopyRun run, DeviceOrder order)
    {
        run.Mark(0);
        run.LetGoOnAfter(0, order);
        return run.Wait(0) ?? run.Done();
    }
}
